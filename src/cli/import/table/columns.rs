//! What the columns of a table are, by their names.

use anyhow::{Result, bail};
use csv::StringRecord;

/// The forms of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A shop's own: `id`, `image`, `title`, and attributes.
    Own,
    Shopify,
    WooCommerce,
}

/// How the cells of an attribute become one value of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A boolean or a number if it is one in JSON, else text.
    Plain,
    /// HTML, of which the text is kept.
    Html,
    /// Texts with commas between them.
    List,
    /// Of several, the lowest.
    Price,
}

/// The place of each column.
#[derive(Debug)]
pub struct Columns {
    pub form: Form,
    id: usize,
    /// Where the id's cell is empty.
    other_id: Option<usize>,
    parent: Option<usize>,
    /// `WooCommerce`'s type: a variation belongs to its parent.
    kind: Option<usize>,
    title: Option<usize>,
    images: Vec<usize>,
    /// Columns of an attribute's name and of its value.
    options: Vec<(usize, usize)>,
    attributes: Vec<(usize, String, Kind)>,
}

/// Whose row it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// Of the product with this id, which other rows may call by these names.
    Own {
        id: String,
        names: Vec<String>,
    },
    OfParent(String),
}

/// The cells of a row, those that are not empty.
#[derive(Debug, Default)]
pub struct Cells {
    pub title: Option<String>,
    pub images: Vec<String>,
    /// Place, name (where the row has it) and value of each option.
    pub options: Vec<(usize, Option<String>, String)>,
    pub attributes: Vec<(String, Kind, String)>,
}

/// Columns of Shopify that say nothing about a product, or are read in another way.
const NOT_OF_SHOPIFY: [&str; 2] = ["image position", "variant image"];

impl Columns {
    /// Reads a header.
    ///
    /// # Errors
    /// Says which columns are missing, nameless or named twice.
    pub fn of(names: &StringRecord) -> Result<Self> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let like = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let any = |wanted: &[&str]| wanted.iter().find_map(|name| like(name));
        let shopify = any(&["Handle", "URL handle"]).zip(any(&["Image Src", "Product image URL"]));
        let woo = like("SKU")
            .or_else(|| like("ID"))
            .zip(like("Images"))
            .zip(like("Name"));
        let mut columns = Self {
            form: Form::Own,
            id: 0,
            other_id: None,
            parent: None,
            kind: None,
            title: None,
            images: Vec::new(),
            options: Vec::new(),
            attributes: Vec::new(),
        };
        if let (Some(id), Some(image)) = (place("id"), place("image")) {
            (columns.id, columns.title, columns.images) = (id, place("title"), vec![image]);
        } else if let Some((handle, image)) = shopify {
            columns.form = Form::Shopify;
            (columns.id, columns.title) = (handle, like("Title"));
            let of_variant = any(&["Variant Image", "Variant image URL"]);
            columns.images = [Some(image), of_variant].into_iter().flatten().collect();
            columns.options = pairs(names, |n| [format!("Option{n} Name"), format!("Option{n} Value")]);
        } else if let Some(((id, images), name)) = woo {
            columns.form = Form::WooCommerce;
            (columns.id, columns.title, columns.images) = (id, Some(name), vec![images]);
            (columns.other_id, columns.parent, columns.kind) = (like("ID"), like("Parent"), like("Type"));
            columns.options = pairs(names, |n| {
                [format!("Attribute {n} name"), format!("Attribute {n} value(s)")]
            });
        } else {
            let listed = names.iter().take(20).collect::<Vec<_>>().join(", ");
            bail!(
                "the first line must name the columns id, image and, optionally, title, or be that of an export by Shopify \
                 (Handle, Image Src) or WooCommerce (SKU, Name, Images); it names {listed:?}"
            );
        }
        for (column, name) in names.iter().enumerate() {
            if name.is_empty() {
                bail!("column {} has no name in the first line", column + 1);
            }
            if place(name) != Some(column) {
                bail!("the first line names the column {name:?} twice");
            }
            if let Some(kind) = columns.attribute(column, name) {
                columns.attributes.push((column, name.to_owned(), kind));
            }
        }
        Ok(columns)
    }

    /// How a column becomes an attribute, if it does.
    fn attribute(&self, column: usize, name: &str) -> Option<Kind> {
        let lower = name.to_ascii_lowercase();
        let of_option = |&(one, other): &(usize, usize)| one == column || other == column;
        let used =
            self.title == Some(column) || self.images.contains(&column) || self.options.iter().any(of_option);
        if used || self.form != Form::WooCommerce && self.id == column {
            return None;
        }
        let left_out = match self.form {
            Form::Own => return Some(Kind::Plain),
            Form::Shopify => {
                NOT_OF_SHOPIFY.contains(&lower.as_str())
                    || lower.starts_with("option") && lower.ends_with("linked to")
            }
            Form::WooCommerce => {
                [self.other_id, self.parent].contains(&Some(column))
                    || lower == "position"
                    || lower.starts_with("attribute ")
                    || lower.starts_with("meta:")
            }
        };
        let kind = match lower.as_str() {
            "body (html)" | "description" | "short description" => Kind::Html,
            "tags" | "categories" => Kind::List,
            _ if lower.contains("price") => Kind::Price,
            _ => Kind::Plain,
        };
        (!left_out).then_some(kind)
    }

    /// Whose row it is.
    ///
    /// # Errors
    /// Names the column that is empty.
    pub fn key(&self, row: &StringRecord) -> Result<Key, String> {
        let cell = |column: Option<usize>| column.map_or("", |column| &row[column]).trim();
        if self.kind.is_some() && cell(self.kind).split(',').any(|kind| kind.trim() == "variation") {
            let parent = cell(self.parent);
            return match parent {
                "" => Err("Parent: is empty; a variation must name its product".to_owned()),
                _ => Ok(Key::OfParent(parent.to_owned())),
            };
        }
        let id = if self.form == Form::Own {
            &row[self.id]
        } else {
            cell(Some(self.id))
        };
        let number = cell(self.other_id);
        let id = if id.is_empty() { number } else { id };
        if id.is_empty() {
            let name = match self.form {
                Form::Own => "id",
                Form::Shopify => "Handle",
                Form::WooCommerce => "SKU",
            };
            return Err(format!("{name}: is empty; it says which product the row is of"));
        }
        let names = (!number.is_empty()).then(|| format!("id:{number}"));
        Ok(Key::Own {
            id: id.to_owned(),
            names: names.into_iter().collect(),
        })
    }

    /// The pictures that a row names.
    pub fn images<'a>(&'a self, row: &'a StringRecord) -> impl Iterator<Item = &'a str> {
        let listed = self.form == Form::WooCommerce;
        let separate = move |cell: &'a str| -> Box<dyn Iterator<Item = &'a str>> {
            match listed {
                true => Box::new(cell.split(',').map(str::trim)),
                false => Box::new(std::iter::once(cell)),
            }
        };
        let cells = self.images.iter().map(|&column| &row[column]);
        cells.flat_map(separate).filter(|image| !image.is_empty())
    }

    /// The cells of a row.
    pub fn read(&self, row: &StringRecord) -> Cells {
        let given = |column: usize| Some(&row[column]).filter(|cell| !cell.is_empty());
        let is_variation = matches!(self.key(row), Ok(Key::OfParent(_)));
        let option = |(place, &(name, value)): (usize, &(usize, usize))| {
            let value = given(value)?.to_owned();
            Some((place, given(name).map(str::to_owned), value))
        };
        let title = self.title.and_then(given).filter(|_| !is_variation);
        Cells {
            title: title.map(str::to_owned),
            images: self.images(row).map(str::to_owned).collect(),
            options: self.options.iter().enumerate().filter_map(option).collect(),
            attributes: self
                .attributes
                .iter()
                .filter_map(|(column, name, kind)| Some((name.clone(), *kind, given(*column)?.to_owned())))
                .collect(),
        }
    }
}

/// The columns of names and values that are numbered from 1.
fn pairs(names: &StringRecord, of: impl Fn(usize) -> [String; 2]) -> Vec<(usize, usize)> {
    let place = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    (1..=names.len())
        .map_while(|number| {
            let [name, value] = of(number);
            place(&name).zip(place(&value))
        })
        .collect()
}
