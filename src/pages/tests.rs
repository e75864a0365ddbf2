//! The pages have all their files, and nothing in what they are told ends their script.

use std::{fs, path::Path};

use super::*;

/// The paths below `folder`, with a slash at their start.
fn paths(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .flat_map(|entry| {
            let entry = entry.unwrap();
            let path = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
            match entry.path().is_dir() {
                true => paths(&entry.path(), &path),
                false => vec![path],
            }
        })
        .collect()
}

#[test]
fn every_file_of_a_page_is_served() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages");
    let mut found = paths(&folder, "/pages");
    found.retain(|path| !path.ends_with(".rs") && !path.ends_with(".html"));
    found.sort();
    let mut served: Vec<_> = FILES.iter().map(|file| file.path).collect();
    served.sort_unstable();
    assert_eq!(served, found);
}

#[test]
fn what_a_page_is_told_cannot_end_its_script() {
    let page = include_str!("try/index.html");
    let config = PageConfig {
        prefix: String::new(),
        socketio: "/</script><script>".to_owned(),
        open: true,
        groups: vec!["rest"],
        version: "1.2.3",
    };
    let page = with_config(page, &config);
    assert!(
        page.contains(r#""socketio":"/\u003c/script>\u003cscript>""#),
        "{page}"
    );
    assert!(!page.contains("{config}"));
}
