//! Why a JPEG is not decoded.

/// What is wrong with a JPEG's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegFault {
    /// Coded data that stops at a marker before every block is there.
    #[error("a scan ends before its picture is complete")]
    ScanEndsEarly,
    /// Bits that are no code of the scan's Huffman table, or a code that the place does not allow.
    #[error("a scan holds an impossible code")]
    Code,
    /// Coded data that goes on behind the last block, or bytes between two segments.
    #[error("bytes that belong to nothing")]
    Extraneous,
    /// A restart marker that is missing, out of turn, or in another place.
    #[error("a restart marker is missing or out of turn")]
    Restart,
    /// A segment whose fields contradict its length or one another.
    #[error("a {0} segment contradicts itself")]
    Segment(&'static str),
    /// A scan of a component, or with a table, that the file does not have.
    #[error("a scan refers to what the file does not have")]
    Reference,
    /// A scan that adds precision to coefficients which no scan began, or begins them twice.
    #[error("the scans are out of order")]
    Order,
    /// A component without a scan.
    #[error("a colour component has no scan")]
    Component,
}

/// A valid way of coding that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegCoding {
    /// Arithmetic coding in place of Huffman codes.
    #[error("an arithmetic-coded JPEG")]
    Arithmetic,
    /// The lossless process of T.81.
    #[error("a lossless JPEG")]
    Lossless,
    /// JPEG-LS (ITU-T T.87), which shares JPEG's markers.
    #[error("a JPEG-LS picture")]
    JpegLs,
    /// The hierarchical process.
    #[error("a hierarchical JPEG")]
    Hierarchical,
    /// Samples of more than 8 bits.
    #[error("a JPEG of {0} bits a sample")]
    Precision(u8),
    /// A height that stands behind the first scan.
    #[error("a JPEG whose height follows its pixels")]
    LateHeight,
    /// Another number of components than 1, 3 and 4.
    #[error("a JPEG of {0} colour components")]
    Components(u8),
    /// CMYK in several sequential scans, or with its first component not the finest.
    #[error("a CMYK JPEG with a scan for each colour, or with colours of odd resolutions")]
    UncommonCmyk,
    /// No Huffman tables: they are taken for granted in the frames of a video.
    #[error("a JPEG without its Huffman tables, like the frame of a video")]
    NoTables,
    /// More scans than any encoder makes.
    #[error("a JPEG of more than {0} scans")]
    Scans(usize),
}
