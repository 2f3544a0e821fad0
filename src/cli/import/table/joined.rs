//! A product made of the rows that name it.

use serde_json::{Map, Value};

use super::columns::{Cells, Columns, Form, Kind};
use crate::catalogue::Product;
use crate::catalogue::manifest::{ManifestProduct, Refusal};
use crate::cli::import::beside::{Beside, is_address};
use crate::service::ingest::{Image, Remark};
use engine::picture::Mode;

/// A row's place, for people.
pub fn place(line: u64) -> String {
    format!("line {line}")
}

/// What the rows of a product say so far.
#[derive(Debug, Default)]
pub struct Joined {
    titles: Vec<(u64, String)>,
    images: Vec<(u64, String)>,
    /// The name of each option, where a row had it.
    options: Vec<Option<String>>,
    attributes: Vec<Attribute>,
}

/// The different cells of an attribute, each with the first line that has it.
#[derive(Debug)]
struct Attribute {
    name: String,
    kind: Kind,
    cells: Vec<(u64, String)>,
}

impl Joined {
    /// Adds the row of a line.
    pub fn add(&mut self, line: u64, cells: Cells) {
        if let Some(title) = cells.title
            && self.titles.iter().all(|(_, known)| *known != title)
        {
            self.titles.push((line, title));
        }
        for image in cells.images {
            if self.images.iter().all(|(_, known)| *known != image) {
                self.images.push((line, image));
            }
        }
        for (name, kind, cell) in cells.attributes {
            self.add_cell(line, name, kind, cell);
        }
        for (place, name, value) in cells.options {
            if self.options.len() <= place {
                self.options.resize(place + 1, None);
            }
            if name.is_some() {
                self.options[place] = name;
            }
            // Shopify's products without options have one of this name.
            match &self.options[place] {
                Some(name) if !(name == "Title" && value == "Default Title") => {
                    self.add_cell(line, name.clone(), Kind::List, value);
                }
                _ => {}
            }
        }
    }

    fn add_cell(&mut self, line: u64, name: String, kind: Kind, cell: String) {
        let cells: Vec<String> = match kind {
            Kind::Plain | Kind::Price => vec![cell],
            Kind::Html => vec![nanohtml2text::html2text(&cell).trim().to_owned()],
            Kind::List => cell.split(',').map(|part| part.trim().to_owned()).collect(),
        };
        let known = self
            .attributes
            .iter()
            .position(|attribute| attribute.name == name);
        let index = known.unwrap_or_else(|| {
            self.attributes.push(Attribute {
                name,
                kind,
                cells: Vec::new(),
            });
            self.attributes.len() - 1
        });
        let held = &mut self.attributes[index].cells;
        for cell in cells {
            if !cell.is_empty() && held.iter().all(|(_, known)| *known != cell) {
                held.push((line, cell));
            }
        }
    }

    /// The product, and what there is to say about its rows.
    pub fn product(
        self,
        id: &str,
        columns: &Columns,
        beside: &Beside,
    ) -> (Result<ManifestProduct<Image>, Refusal>, Vec<Remark>) {
        let mut remarks = Vec::new();
        let mut titles = self.titles.into_iter();
        let (first_line, title) = titles.next().unwrap_or_default();
        for (line, other) in titles {
            remarks.push(Remark::lost(
                place(line),
                format!("title: is {other:?} here and {title:?} in line {first_line}; the first one is kept"),
            ));
        }
        let mut attributes = Map::new();
        for attribute in self.attributes {
            let name = attribute.name.clone();
            if let Some(value) = attribute.value(columns.form, &mut remarks) {
                attributes.insert(name, value);
            }
        }

        let mut pictures = Vec::new();
        let mut unfetched = Vec::new();
        let named = self.images.len();
        for (line, text) in self.images {
            match beside.image(&text) {
                Ok(_) if pictures.len() == Product::MOST_PICTURES => remarks.push(Remark::lost(
                    place(line),
                    format!(
                        "image: {} is one more than the {} pictures that a product may have; it is left out",
                        shown(&text),
                        Product::MOST_PICTURES
                    ),
                )),
                Ok(image) => pictures.push(image),
                Err(reason) if is_address(&text) => {
                    unfetched.push(Remark::unfetched(place(line), format!("image: {reason}")))
                }
                Err(reason) => return (Err(Refusal::of(id, format!("image: {reason}"))), remarks),
            }
        }
        let product = if pictures.is_empty() {
            Err(Refusal::of(
                id,
                match named {
                    0 => "image: is missing".to_owned(),
                    _ => "image: none of its pictures is fetched".to_owned(),
                },
            ))
        } else {
            ManifestProduct::new(id, title, attributes, pictures, Mode::Auto)
        };
        remarks.extend(unfetched);
        (product, remarks)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl Attribute {
    /// One value of all cells; what they contradict each other in is remarked.
    fn value(self, form: Form, remarks: &mut Vec<Remark>) -> Option<Value> {
        let Self { name, kind, cells } = self;
        let (first_line, first) = cells.first()?.clone();
        if kind == Kind::List {
            return Some(cells.into_iter().map(|(_, cell)| Value::from(cell)).collect());
        }
        if cells.len() == 1 {
            return Some(match kind {
                Kind::Html => first.into(),
                _ => value(&first),
            });
        }
        let values: Vec<Value> = cells.iter().map(|(_, cell)| value(cell)).collect();
        if kind == Kind::Price && values.iter().all(Value::is_number) {
            let lowest = values.into_iter().min_by(|one, other| {
                let number = |value: &Value| value.as_f64().unwrap_or(f64::INFINITY);
                number(one).total_cmp(&number(other))
            });
            return lowest;
        }
        let texts = values.iter().all(Value::is_string);
        if form == Form::Own {
            for (line, cell) in &cells[1..] {
                let (kept, remark): (_, fn(String, String) -> Remark) = match texts {
                    true => ("both are kept, as a list", Remark::note),
                    false => ("the first one is kept", Remark::lost),
                };
                let detail = format!("{name}: is {cell:?} here and {first:?} in line {first_line}; {kept}");
                remarks.push(remark(place(*line), detail));
            }
            if !texts {
                return Some(value(&first));
            }
        }
        Some(cells.into_iter().map(|(_, cell)| Value::from(cell)).collect())
    }
}

/// The value of a cell: a boolean or number if it is one in JSON, else a string.
pub fn value(cell: &str) -> Value {
    let plain = cell.trim() == cell;
    let read = serde_json::from_str(cell).ok().filter(|_| plain);
    let kept = read.filter(|value: &Value| match value {
        Value::Bool(_) => true,
        // An integer of more than 64 bits, such as a long product code, would be rounded.
        Value::Number(number) => number.is_i64() || number.is_u64() || cell.contains(['.', 'e', 'E']),
        _ => false,
    });
    kept.unwrap_or_else(|| cell.into())
}
