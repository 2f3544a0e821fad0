//! The options of a route, read off the arguments of its handler.
//!
//! Every argument of a handler implements [`Argument`], or the route does not compile: so no route can forget to refuse
//! the parameters that it does not know.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::endpoints::FromBody;
use super::extract::{OnlyNew, Parameters, Payload, Ready};
use super::fields::FromFields;

/// An argument of a handler.
pub trait Argument {
    /// Adds the names of the options that it reads; most arguments read none.
    fn names(_names: &mut Vec<&'static str>) {}
}

impl<T> Argument for State<T> {}
impl<T> Argument for Extension<T> {}
impl<T> Argument for Path<T> {}
impl Argument for HeaderMap {}
impl Argument for Body {}
impl Argument for Ready {}
impl Argument for OnlyNew {}

impl<T: FromFields> Argument for Parameters<T> {
    fn names(names: &mut Vec<&'static str>) {
        T::names(names);
    }
}

impl<T: FromBody> Argument for Payload<T> {
    fn names(names: &mut Vec<&'static str>) {
        T::names(names);
    }
}

/// A handler whose arguments are known, up to seven of them.
pub trait Arguments<A> {
    /// The names of the options that its arguments read.
    fn names() -> Vec<&'static str>;
}

macro_rules! arguments {
    ($($argument:ident),*) => {
        impl<H, Answer, $($argument: Argument),*> Arguments<($($argument,)*)> for H
        where
            H: FnOnce($($argument),*) -> Answer,
        {
            fn names() -> Vec<&'static str> {
                let mut _names = Vec::new();
                $($argument::names(&mut _names);)*
                _names
            }
        }
    };
}

arguments!();
arguments!(A);
arguments!(A, B);
arguments!(A, B, C);
arguments!(A, B, C, D);
arguments!(A, B, C, D, E);
arguments!(A, B, C, D, E, F);
arguments!(A, B, C, D, E, F, G);
