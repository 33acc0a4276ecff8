//! The comments of the protos, which say what everything means.

use std::{collections::HashMap, sync::LazyLock};

use otdel_runtime::auth::DESCRIPTORS;
use prost_reflect::FileDescriptor;

/// Leading comments by file and by the path of what they stand before.
static COMMENTS: LazyLock<HashMap<(String, Vec<i32>), String>> = LazyLock::new(|| {
    let mut comments = HashMap::new();
    for file in DESCRIPTORS.files() {
        let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
        for location in locations {
            if let Some(text) = &location.leading_comments {
                comments.insert((file.name().to_owned(), location.path.clone()), paragraphs(text));
            }
        }
    }
    comments
});

/// What stands before a declaration, by its file and path. Empty where nothing does.
pub(crate) fn comment(file: &FileDescriptor, path: &[i32]) -> &'static str {
    COMMENTS.get(&(file.name().to_owned(), path.to_owned())).map_or("", String::as_str)
}

/// A comment without its line breaks, which are the proto's and not the text's. Paragraphs stay.
fn paragraphs(comment: &str) -> String {
    let lines = comment.lines().map(str::trim).collect::<Vec<_>>();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.map(|lines| lines.join(" ")).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_by_what_it_stands_before() {
        let lead = DESCRIPTORS.get_message_by_name("otdel.leads.v1.GetLeadRequest").unwrap();
        assert_eq!(comment(&lead.parent_file(), lead.path()), "Asks for a lead.");
        assert_eq!(comment(&lead.parent_file(), &[4, 9999]), "");
    }

    #[test]
    fn paragraphs_stay_and_lines_are_joined() {
        assert_eq!(paragraphs(" One\n two.\n\n Three.\n"), "One two.\n\nThree.");
        assert_eq!(paragraphs(""), "");
    }
}
