//! Rows of fields as CSV text (RFC 4180, lines ended by a line feed).

/// The CSV text of a heading and rows; every row must have as many fields as the heading.
pub fn csv_text<H: AsRef<[u8]>>(head: &[H], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut written = writer.write_record(head);
    for row in rows {
        written = written.and_then(|()| writer.write_record(&row));
    }
    written.expect("rows are as long as the heading, and memory takes what is written");
    let bytes = writer.into_inner().expect("memory takes what is written");
    String::from_utf8(bytes).expect("fields are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_break_its_line() {
        let rows = [["tuned", "a,\"b\""], ["x\ny", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            csv_text(&["model", "label"], rows),
            "model,label\ntuned,\"a,\"\"b\"\"\"\n\"x\ny\",\n"
        );
    }
}
