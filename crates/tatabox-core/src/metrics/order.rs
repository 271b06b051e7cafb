//! Examples in the order of a number: sorted once, read for as many weightings of the examples as are drawn.

/// Examples by a number, the lowest first; equal numbers are one group.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Indices of examples.
    examples: Vec<u32>,
    /// Where each group of equal numbers ends.
    ends: Vec<u32>,
}

impl Order {
    /// The order of values, `[examples]`.
    pub fn of(values: &[f64]) -> Order {
        let mut examples: Vec<u32> = (0..values.len() as u32).collect();
        examples.sort_unstable_by(|&one, &other| values[one as usize].total_cmp(&values[other as usize]));
        let mut end = 0;
        let groups = examples.chunk_by(|&one, &other| values[one as usize] == values[other as usize]);
        let ends = groups.map(|group| {
            end += group.len() as u32;
            end
        });
        let ends = ends.collect();
        Order { examples, ends }
    }

    /// The groups, the lowest number first.
    pub fn groups(&self) -> impl DoubleEndedIterator<Item = &[u32]> {
        (0..self.ends.len()).map(|at| {
            let start = if at == 0 { 0 } else { self.ends[at - 1] };
            &self.examples[start as usize..self.ends[at] as usize]
        })
    }
}
