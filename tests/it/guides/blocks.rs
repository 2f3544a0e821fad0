//! The commands and answers in a Markdown document: fenced blocks of `sh`, `json` and `text`, in order.

/// What a fenced block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Commands.
    Sh,
    /// An answer, compared as JSON.
    Json,
    /// An answer, compared line by line.
    Text,
}

/// One fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub kind: Kind,
    /// The line of the opening fence, from 1.
    pub line: usize,
    pub text: String,
    /// Why it is not run or compared.
    pub exempt: Option<String>,
}

const EXEMPT: &str = "<!-- not run: ";

/// The blocks of `document`; other languages are skipped.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut exempt = None;
    let mut lines = (1..).zip(document.lines());
    while let Some((line, text)) = lines.next() {
        let Some(language) = text.strip_prefix("```") else {
            if let Some(rest) = text.strip_prefix(EXEMPT) {
                exempt = rest.strip_suffix(" -->").map(str::to_owned);
            } else if !text.is_empty() {
                exempt = None;
            }
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .map(|(_, text)| text)
            .take_while(|text| *text != "```")
            .collect();
        let kind = match language {
            "sh" => Kind::Sh,
            "json" => Kind::Json,
            "text" => Kind::Text,
            _ => continue,
        };
        found.push(Block {
            kind,
            line,
            text: body.join("\n"),
            exempt: exempt.take(),
        });
    }
    found
}

#[test]
fn blocks_are_found_with_their_kind_and_place() {
    let document = "# A\n\n```sh\nls\ncat x\n```\n\n```json\n{}\n```\n<!-- not run: it takes an hour -->\n\
                    ```sh\nmake\n```\n```rust\nfn f() {}\n```\n```text\n...\n```\n";
    let found: Vec<(Kind, usize, String, Option<String>)> = blocks(document)
        .into_iter()
        .map(|block| (block.kind, block.line, block.text, block.exempt))
        .collect();
    assert_eq!(
        found,
        [
            (Kind::Sh, 3, "ls\ncat x".to_owned(), None),
            (Kind::Json, 8, "{}".to_owned(), None),
            (
                Kind::Sh,
                12,
                "make".to_owned(),
                Some("it takes an hour".to_owned())
            ),
            (Kind::Text, 18, "...".to_owned(), None),
        ]
    );
}
