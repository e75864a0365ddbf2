//! The page at `/` links to what is served.

use super::*;

#[test]
fn the_page_links_to_what_is_served_where_it_is_served() {
    let all = page("", &LINKS.map(|(group, ..)| group));
    for (_, path, _) in LINKS {
        assert!(all.contains(&format!("<a href=\"{path}\">")), "{all}");
    }
    let moved = page("/a/b", &[RouteGroup::Rest]);
    assert_eq!(moved.matches("<a href=").count(), 1, "{moved}");
    assert!(moved.contains("<a href=\"a/b/v1/docs\">"), "{moved}");
}
