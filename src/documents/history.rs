//! Histories of documents for tests: several clients edit one document at the same time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use yrs::{
    Any, Array, ArrayPrelim, Doc, GetString, Map, MapPrelim, OffsetKind, Options, ReadTxn, Text,
    TextPrelim, Transact, Update, XmlElementPrelim, XmlFragment, XmlTextPrelim, block::ClientID,
    types::ToJson, updates::decoder::Decode,
};

/// Ids of the clients: of one byte, of 32 bits, of 53 bits.
const CLIENTS: [u64; 3] = [7, 0xffff_fff0, (1 << 53) - 1];

/// What a client does next.
#[derive(Clone, Debug)]
pub struct Edit {
    client: prop::sample::Index,
    /// Gets all updates before.
    syncs: bool,
    at: prop::sample::Index,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    Type(String),
    Erase(u32),
    Format(bool),
    Embed,
    Push(i64),
    PushNested,
    Remove,
    Set(u8, bool),
    SetNested(u8),
    Unset(u8),
    Element,
    ElementText(String),
    RemoveElement,
}

impl Arbitrary for Edit {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let action = prop_oneof![
            4 => "[a-dü日]{1,4}".prop_map(Action::Type),
            3 => (1..6u32).prop_map(Action::Erase),
            1 => any::<bool>().prop_map(Action::Format),
            1 => Just(Action::Embed),
            3 => any::<i64>().prop_map(Action::Push),
            1 => Just(Action::PushNested),
            2 => Just(Action::Remove),
            2 => (0..3u8, any::<bool>()).prop_map(|(key, value)| Action::Set(key, value)),
            1 => (0..3u8).prop_map(Action::SetNested),
            1 => (0..3u8).prop_map(Action::Unset),
            1 => Just(Action::Element),
            1 => "[a-c]{1,3}".prop_map(Action::ElementText),
            1 => Just(Action::RemoveElement),
        ];
        let edit = (
            any::<prop::sample::Index>(),
            any::<bool>(),
            any::<prop::sample::Index>(),
            action,
        );
        edit.prop_map(|(client, syncs, at, action)| Self {
            client,
            syncs,
            at,
            action,
        })
        .boxed()
    }
}

/// The updates that clients send, in their order.
pub fn history(edits: &[Edit]) -> Vec<Vec<u8>> {
    let docs = CLIENTS.map(document);
    let mut seen = [0; CLIENTS.len()];
    let mut updates: Vec<Vec<u8>> = Vec::new();
    for edit in edits {
        let client = edit.client.index(docs.len());
        let doc = &docs[client];
        if edit.syncs {
            for update in &updates[seen[client]..] {
                apply(doc, update);
            }
            seen[client] = updates.len();
        }
        updates.push(edit.apply(doc));
    }
    updates
}

/// An empty document.
pub fn document(client: u64) -> Doc {
    let options = Options {
        client_id: ClientID::new(client),
        offset_kind: OffsetKind::Utf16,
        ..Options::default()
    };
    let doc = Doc::with_options(options);
    doc.get_or_insert_text("text");
    doc.get_or_insert_array("array");
    doc.get_or_insert_map("map");
    doc.get_or_insert_xml_fragment("xml");
    doc
}

/// Applies an update.
pub fn apply(doc: &Doc, update: &[u8]) {
    let update = Update::decode_v1(update).unwrap();
    doc.transact_mut().apply_update(update).unwrap();
}

/// A document to which updates are applied.
pub fn document_of(updates: &[impl AsRef<[u8]>]) -> Doc {
    let doc = document(1);
    for update in updates {
        apply(&doc, update.as_ref());
    }
    doc
}

/// What can be seen of a document.
pub fn content(doc: &Doc) -> String {
    let text = doc.get_or_insert_text("text");
    let array = doc.get_or_insert_array("array");
    let map = doc.get_or_insert_map("map");
    let xml = doc.get_or_insert_xml_fragment("xml");
    let txn = doc.transact();
    let diff = text.diff(&txn, yrs::types::text::YChange::identity);
    let diff: Vec<_> = diff
        .iter()
        .map(|part| {
            let attributes = part.attributes.iter().flat_map(|all| all.iter());
            let attributes: BTreeMap<_, _> = attributes
                .map(|(key, value)| (key, value.to_string()))
                .collect();
            (part.insert.clone().to_string(&txn), attributes)
        })
        .collect();
    let mut map: Vec<_> = match map.to_json(&txn) {
        Any::Map(map) => map
            .iter()
            .map(|(key, value)| format!("{key}={value:?}"))
            .collect(),
        _ => Vec::new(),
    };
    map.sort();
    format!(
        "{diff:?} {:?} {map:?} {}",
        array.to_json(&txn),
        xml.get_string(&txn)
    )
}

/// Its clients and clocks, in order.
pub fn clocks(doc: &Doc) -> Vec<(u64, u32)> {
    let vector = doc.transact().state_vector();
    let mut clocks: Vec<_> = vector
        .iter()
        .map(|(client, clock)| (client.get(), *clock))
        .collect();
    clocks.sort_unstable();
    clocks
}

impl Edit {
    fn apply(&self, doc: &Doc) -> Vec<u8> {
        let text = doc.get_or_insert_text("text");
        let array = doc.get_or_insert_array("array");
        let map = doc.get_or_insert_map("map");
        let xml = doc.get_or_insert_xml_fragment("xml");
        let mut txn = doc.transact_mut();
        let text_at = self.at.index(text.len(&txn) as usize + 1) as u32;
        let text_left = text.len(&txn) - text_at;
        let array_at = self.at.index(array.len(&txn) as usize + 1) as u32;
        let xml_at = self.at.index(xml.len(&txn) as usize + 1) as u32;
        match &self.action {
            Action::Type(typed) => text.insert(&mut txn, text_at, typed),
            Action::Erase(len) => text.remove_range(&mut txn, text_at, text_left.min(*len)),
            Action::Format(bold) => {
                let attributes = [("b".into(), Any::from(*bold))].into();
                text.format(&mut txn, text_at, text_left.min(3), attributes);
            }
            Action::Embed => {
                text.insert_embed(&mut txn, text_at, Any::from("image"));
            }
            Action::Push(value) => {
                array.insert(&mut txn, array_at, *value);
            }
            Action::PushNested => {
                let nested = array.insert(&mut txn, array_at, MapPrelim::default());
                nested.insert(&mut txn, "text", TextPrelim::new("nested"));
            }
            Action::Remove if array_at < array.len(&txn) => array.remove(&mut txn, array_at),
            Action::Remove => {}
            Action::Set(key, value) => {
                map.insert(&mut txn, key.to_string(), *value);
            }
            Action::SetNested(key) => {
                let nested = ArrayPrelim::from([1, 2, 3]);
                map.insert(&mut txn, key.to_string(), nested);
            }
            Action::Unset(key) => {
                map.remove(&mut txn, &key.to_string());
            }
            Action::Element => {
                let element = XmlElementPrelim::new("p", [XmlTextPrelim::new("x").into()]);
                xml.insert(&mut txn, xml_at, element);
            }
            Action::ElementText(typed) => {
                xml.insert(&mut txn, xml_at, XmlTextPrelim::new(typed.as_str()));
            }
            Action::RemoveElement if xml_at < xml.len(&txn) => {
                xml.remove_range(&mut txn, xml_at, 1);
            }
            Action::RemoveElement => {}
        }
        txn.encode_update_v1()
    }
}
