//! The manual's table of options is the code's. `UPDATE=1 cargo test --test readme` writes it.

use std::{fs, path::Path};

const START: &str = "<!-- options -->\n";
const END: &str = "<!-- /options -->";

#[test]
fn the_readme_lists_every_option_as_it_is_defined() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md is there");
    let (before, rest) = readme.split_once(START).unwrap_or_else(|| {
        panic!("README.md has no line {START:?}: put it where the table of options belongs")
    });
    let (shown, after) = rest.split_once(END).unwrap_or_else(|| {
        panic!("README.md has no line {END:?}: put it where the table of options ends")
    });
    let table = format!("\n{}\n", switchboard::config::table());
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        fs::write(&path, [before, START, &table, END, after].concat())
            .expect("README.md can be written");
        return;
    }
    assert_eq!(
        shown, table,
        "the table of options in README.md is old; `UPDATE=1 cargo test --test readme` writes it anew"
    );
}
