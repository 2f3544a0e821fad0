//! Plain Rust: the reference for the other kernels, and what runs on CPUs without them.

/// Products of 8-bit values are at most 2^14, so that a 32-bit sum holds 2^16 of them.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i64 {
    let sums = a.chunks(1 << 16).zip(b.chunks(1 << 16)).map(|(a, b)| {
        let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
        i64::from(products.sum::<i32>())
    });
    sums.sum()
}

/// Products of 16-bit values need 31 bits: they are summed in 64.
pub fn dot_i16(a: &[i16], b: &[i16]) -> i64 {
    let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
    products.map(i64::from).sum()
}
