//! How large a filter may be, and how much it may cost to evaluate.

/// Bounds of one expression and of the cache of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterLimits {
    /// Bytes of the source.
    pub source_bytes_max: usize,
    /// Brackets that are open at once. Checked before the parser sees the source.
    pub nesting_max: usize,
    /// Levels of the syntax tree.
    pub depth_max: usize,
    /// Nodes of the syntax tree.
    pub nodes_max: usize,
    /// Steps of one evaluation, at worst: one per node, times the length of the lists around it, times what values are
    /// put together from.
    pub cost_max: u64,
    /// Filters in the cache.
    pub filters_max: usize,
    /// Rules of one mapping.
    pub rules_max: usize,
}

impl Default for FilterLimits {
    fn default() -> FilterLimits {
        FilterLimits {
            source_bytes_max: 2048,
            nesting_max: 24,
            depth_max: 48,
            nodes_max: 512,
            cost_max: 4096,
            filters_max: 4096,
            rules_max: 64,
        }
    }
}
