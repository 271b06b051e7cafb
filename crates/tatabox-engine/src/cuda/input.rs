//! What a pass reads besides weights: a batch, laid out for the kernels, as one block of words that is copied to the card in one go.
//!
//! Small batches are filled up to one of a few sizes, so that their launches can be recorded once and repeated: with sequences that nobody asks anything about, and
//! with rows of heads that cost nothing. Neither changes a number of the others. What depends on their lengths and tokens besides (tiles, pieces, keys) has the most
//! that so many tokens and sequences can have: the kernels pass over what is too much.

use crate::batch::{Batch, Capacity};
use crate::graph::Rows;

/// No row, no key, no label.
pub(super) const NONE: u32 = u32::MAX;
/// Rows of one key that are added up by one warp.
const PIECE: usize = 128;
/// Query rows of a block of attention.
const TILE: usize = 64;
/// From here on a step is long enough to hide its launches, and is not filled up.
const RECORDED_TOKENS: usize = 1 << 15;

/// The sizes of a pass. Two passes of the same shape have the same launches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub tokens: usize,
    pub masked: usize,
    pub sequences: usize,
    pub examples: usize,
    pub query_tiles: usize,
    pub key_tiles: usize,
    /// Pieces and keys of the word, position and token type tables.
    pub pieces: [usize; 3],
    pub keys: [usize; 3],
    pub train: bool,
}

impl Shape {
    pub fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.tokens,
            Rows::Masked => self.masked,
            Rows::Sequences => self.sequences,
            Rows::Examples => self.examples,
        }
    }

    /// Whether launches of this shape are worth recording.
    pub fn is_small(&self) -> bool {
        self.tokens <= RECORDED_TOKENS
    }
}

/// Up to a multiple of 8, and to one of sixteen sizes an octave.
fn filled(size: usize) -> usize {
    size.next_multiple_of((size.next_power_of_two() / 16).max(8))
}

/// Room for any batch of a capacity once it is filled up.
pub(super) fn roomy(capacity: Capacity) -> Capacity {
    if capacity.tokens > RECORDED_TOKENS {
        // Still, a smaller batch may come.
        let tokens = capacity.tokens.max(filled(RECORDED_TOKENS));
        return Capacity { tokens, masked: filled(capacity.masked), sequences: filled(capacity.sequences + 1) };
    }
    Capacity {
        tokens: filled(capacity.tokens),
        masked: filled(capacity.masked),
        sequences: filled(capacity.sequences + 1),
    }
}

/// Where the parts of the block begin, in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Keys of the generator, two words a node; then the loss scale.
    pub dropout_keys: usize,
    pub loss_scale: usize,
    pub ids: usize,
    pub positions: usize,
    pub types: usize,
    pub query_tiles: usize,
    pub key_tiles: usize,
    /// Tokens that become masked rows, or sequences; and for each token the row that it becomes.
    pub taken: [usize; 2],
    pub becomes: [usize; 2],
    pub examples: usize,
    pub labels: usize,
    pub targets: usize,
    pub order: [usize; 3],
    pub pieces: [usize; 3],
    pub keys: [usize; 3],
    pub end: usize,
}

/// What the head asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadShape {
    pub rows: Rows,
    pub outputs: usize,
    /// Whether answers are numbers.
    pub has_targets: bool,
    /// Rows of the word, position and token type tables; a sequence is no longer than positions go.
    pub tables: [usize; 3],
    /// Keys of a block of attention's backward.
    pub key_tile: usize,
    pub nodes: usize,
}

/// A batch, counted and sorted.
#[derive(Default)]
pub(super) struct Input {
    pub shape: Shape,
    pub layout: Layout,
    ids: Vec<u32>,
    positions: Vec<u32>,
    types: Vec<u32>,
    query_tiles: Vec<[u32; 4]>,
    key_tiles: Vec<[u32; 4]>,
    examples: Vec<u32>,
    tables: [Table; 3],
}

/// The rows of one table's keys: see `kernels/tables.cu`.
#[derive(Default)]
struct Table {
    order: Vec<u32>,
    pieces: Vec<[u32; 2]>,
    keys: Vec<[u32; 4]>,
    starts: Vec<u32>,
}

impl Table {
    /// Sorts the rows by key, rows of a key in their order, and cuts them into pieces.
    fn gather(&mut self, keys: &[u32]) {
        let largest = keys.iter().copied().max().map_or(0, |largest| largest as usize + 1);
        self.starts.clear();
        self.starts.resize(largest + 1, 0);
        keys.iter().for_each(|key| self.starts[*key as usize + 1] += 1);
        (0..largest).for_each(|key| self.starts[key + 1] += self.starts[key]);
        self.order.clear();
        self.order.resize(keys.len(), 0);
        self.pieces.clear();
        self.keys.clear();
        for key in 0..largest {
            let (start, end) = (self.starts[key] as usize, self.starts[key + 1] as usize);
            let first = self.pieces.len() as u32;
            for piece in (start..end).step_by(PIECE) {
                self.pieces.push([piece as u32, (piece + PIECE).min(end) as u32]);
            }
            if start < end {
                self.keys.push([key as u32, first, self.pieces.len() as u32, 0]);
            }
        }
        for (row, key) in keys.iter().enumerate() {
            let place = &mut self.starts[*key as usize];
            self.order[*place as usize] = row as u32;
            *place += 1;
        }
    }
}

impl Input {
    /// Counts and sorts a checked batch.
    pub fn prepare(&mut self, batch: &Batch, head: &HeadShape, train: bool) {
        let (tokens, positions) = (batch.input_ids.len(), head.tables[1].max(1));
        let small = tokens <= RECORDED_TOKENS;
        let fill = |size: usize| if small { filled(size) } else { size };
        let padded = fill(tokens);
        self.ids.clear();
        self.ids.extend(&batch.input_ids);
        self.ids.resize(padded, 0);
        self.types.clear();
        self.types.extend(&batch.token_types);
        self.types.resize(padded, 0);
        self.positions.clear();
        self.query_tiles.clear();
        self.key_tiles.clear();
        let mut sequence = |start: usize, end: usize| {
            let length = end - start;
            self.positions.extend(0..length as u32);
            let tile = |first: usize| [start as u32, length as u32, first as u32, 0];
            self.query_tiles.extend((0..length).step_by(TILE).map(tile));
            self.key_tiles.extend((0..length).step_by(head.key_tile).map(tile));
        };
        batch.offsets.windows(2).for_each(|pair| sequence(pair[0] as usize, pair[1] as usize));
        (tokens..padded).step_by(positions).for_each(|start| sequence(start, (start + positions).min(padded)));
        self.prepare_examples(batch, fill);
        let mut shape = Shape {
            tokens: padded,
            masked: fill(batch.masked_rows.len()),
            sequences: fill(batch.sequences()),
            examples: self.examples.len() - 1,
            query_tiles: self.query_tiles.len(),
            key_tiles: self.key_tiles.len(),
            train,
            ..Shape::default()
        };
        if train {
            // Only real tokens have gradients.
            let keys = [&self.ids[..tokens], &self.positions[..tokens], &self.types[..tokens]];
            for (index, (table, keys)) in self.tables.iter_mut().zip(keys).enumerate() {
                table.gather(keys);
                shape.pieces[index] = table.pieces.len();
                shape.keys[index] = table.keys.len();
            }
        }
        if small {
            // At most one tile or piece of a sequence or key is not full; the filling is less than 8 tokens, or an eighth.
            let sequences = shape.sequences + (padded / 8).max(8).div_ceil(positions);
            let tiles = |tile: usize| filled((padded / tile + sequences).min(padded));
            (shape.query_tiles, shape.key_tiles) = (tiles(TILE), tiles(head.key_tile));
            (shape.pieces, shape.keys) = most_keys(head, padded, train);
        }
        self.shape = shape;
        self.layout = lay_out(&shape, head);
    }

    /// Examples in terms of sequences; where rows of sequences are filled up, the first example of the filling has them all.
    fn prepare_examples(&mut self, batch: &Batch, fill: impl Fn(usize) -> usize) {
        let (real, sequences) = (batch.examples(), fill(batch.sequences()));
        self.examples.clear();
        self.examples.extend((0..real).map(|example| batch.sequences_of(example).start as u32));
        self.examples.push(batch.sequences() as u32);
        let extra = usize::from(sequences > batch.sequences());
        self.examples.resize(fill(real + extra) + 1, sequences as u32);
    }

    /// Writes the block. `dropout_keys` has one a node.
    pub fn write(
        &self,
        batch: &Batch,
        head: &HeadShape,
        dropout_keys: impl Iterator<Item = [u32; 2]>,
        loss_scale: f32,
        words: &mut [u32],
    ) {
        let Layout { taken, becomes, order, pieces, keys, .. } = self.layout;
        let layout = &self.layout;
        for (node, key) in dropout_keys.enumerate() {
            words[layout.dropout_keys + 2 * node..][..2].copy_from_slice(&key);
        }
        words[layout.loss_scale] = loss_scale.to_bits();
        let mut put = |at: usize, values: &[u32]| words[at..at + values.len()].copy_from_slice(values);
        put(layout.ids, &self.ids);
        put(layout.positions, &self.positions);
        put(layout.types, &self.types);
        put(layout.query_tiles, self.query_tiles.as_flattened());
        put(layout.key_tiles, self.key_tiles.as_flattened());
        put(layout.examples, &self.examples);
        let mut fill = |at: usize, from: usize, to: usize, value: u32| words[at + from..at + to].fill(value);
        fill(layout.query_tiles, 4 * self.query_tiles.len(), 4 * self.shape.query_tiles, 0);
        fill(layout.key_tiles, 4 * self.key_tiles.len(), 4 * self.shape.key_tiles, 0);
        let firsts = &batch.offsets[..batch.sequences()];
        for (which, (rows, room)) in
            [(&batch.masked_rows[..], self.shape.masked), (firsts, self.shape.sequences)].into_iter().enumerate()
        {
            fill(taken[which], rows.len(), room, NONE);
            fill(becomes[which], 0, self.shape.tokens, NONE);
        }
        for (which, rows) in [&batch.masked_rows[..], firsts].into_iter().enumerate() {
            for (index, row) in rows.iter().enumerate() {
                words[taken[which] + index] = *row;
                words[becomes[which] + *row as usize] = index as u32;
            }
        }
        self.write_answers(batch, head, words);
        if self.shape.train {
            for (which, table) in self.tables.iter().enumerate() {
                let mut put = |at: usize, values: &[u32], room: usize, rest: u32| {
                    words[at..at + values.len()].copy_from_slice(values);
                    words[at + values.len()..at + room].fill(rest);
                };
                put(order[which], &table.order, table.order.len(), 0);
                put(pieces[which], table.pieces.as_flattened(), 2 * self.shape.pieces[which], 0);
                put(keys[which], table.keys.as_flattened(), 4 * self.shape.keys[which], NONE);
            }
        }
    }

    /// A label a row of the head, or a mark that the row counts where answers are numbers; `NONE` for the filling.
    fn write_answers(&self, batch: &Batch, head: &HeadShape, words: &mut [u32]) {
        let room = self.shape.rows(head.rows);
        let rows = if head.rows == Rows::Masked { batch.masked_rows.len() } else { batch.examples() };
        let labels = &mut words[self.layout.labels..][..room];
        labels.fill(NONE);
        if batch.labels.len() == rows {
            labels[..rows].copy_from_slice(&batch.labels);
        } else {
            labels[..rows].fill(0);
        }
        let targets = &mut words[self.layout.targets..][..if head.has_targets { room * head.outputs } else { 0 }];
        targets.fill(0);
        targets.iter_mut().zip(&batch.targets).for_each(|(word, target)| *word = target.to_bits());
    }
}

/// The most pieces and keys that so many tokens can have in each table.
fn most_keys(head: &HeadShape, tokens: usize, train: bool) -> ([usize; 3], [usize; 3]) {
    let keys = head.tables.map(|rows| if train { rows.min(tokens) } else { 0 });
    let pieces = keys.map(|keys| if keys > 0 { filled(keys + tokens / PIECE + 1) } else { 0 });
    (pieces, keys.map(filled))
}

fn lay_out(shape: &Shape, head: &HeadShape) -> Layout {
    let mut end = 0;
    // Parts begin at multiples of 16 bytes.
    let mut part = |words: usize| {
        let start = end;
        end += words.next_multiple_of(4);
        start
    };
    let tokens = shape.tokens;
    let table =
        |part: &mut dyn FnMut(usize) -> usize, sizes: [usize; 3], words: usize| sizes.map(|size| part(size * words));
    let targets = if head.has_targets { shape.rows(head.rows) * head.outputs } else { 0 };
    let sorted = if shape.train { tokens } else { 0 };
    let mut layout = Layout {
        dropout_keys: part(2 * head.nodes),
        loss_scale: part(1),
        ids: part(tokens),
        positions: part(tokens),
        types: part(tokens),
        query_tiles: part(4 * shape.query_tiles),
        key_tiles: part(4 * shape.key_tiles),
        taken: [part(shape.masked), part(shape.sequences)],
        becomes: [part(tokens), part(tokens)],
        examples: part(shape.examples + 1),
        labels: part(shape.rows(head.rows)),
        targets: part(targets),
        order: table(&mut part, [sorted; 3], 1),
        pieces: table(&mut part, shape.pieces, 2),
        keys: table(&mut part, shape.keys, 4),
        end: 0,
    };
    layout.end = end;
    layout
}

/// The largest shape of a capacity, for the sizes of buffers: what a batch of any lengths cannot exceed.
pub(super) fn largest(capacity: Capacity, head: &HeadShape, train: bool) -> (Shape, usize) {
    let room = roomy(capacity);
    let tokens = room.tokens;
    let (pieces, keys) = most_keys(head, tokens, train);
    // A sequence has at least one token.
    let shape = Shape {
        tokens,
        masked: room.masked,
        sequences: filled(tokens),
        examples: filled(tokens + 1),
        query_tiles: filled(tokens),
        key_tiles: filled(tokens),
        pieces,
        keys,
        train,
    };
    let head_rows = if head.rows == Rows::Masked {
        shape
    } else {
        Shape { sequences: room.sequences, examples: room.sequences, ..shape }
    };
    let words = lay_out(&head_rows, head).end;
    (head_rows, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: HeadShape =
        HeadShape { rows: Rows::Masked, outputs: 10, has_targets: false, tables: [10, 80, 2], key_tile: 64, nodes: 3 };

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.push((0..70).map(|id| id % 7), [(1, 2), (69, 0)]);
        batch.push([3, 3, 9], [(2, 9)]);
        batch
    }

    #[test]
    fn every_row_of_a_key_is_in_one_of_its_pieces() {
        let mut table = Table::default();
        let keys: Vec<u32> = (0..1000).map(|row| if row % 3 == 0 { 5 } else { row % 4 }).collect();
        table.gather(&keys);
        let mut seen = vec![0; keys.len()];
        for [key, first, end, _] in &table.keys {
            let pieces = &table.pieces[*first as usize..*end as usize];
            let rows: Vec<u32> =
                pieces.iter().flat_map(|[start, end]| table.order[*start as usize..*end as usize].to_vec()).collect();
            assert!(rows.is_sorted() && rows.iter().all(|row| keys[*row as usize] == *key), "{key}");
            assert!(pieces.iter().all(|[start, end]| end - start <= PIECE as u32));
            rows.iter().for_each(|row| seen[*row as usize] += 1);
        }
        assert_eq!(seen, vec![1; 1000]);
    }

    #[test]
    fn the_filling_asks_nothing_and_its_sequences_fit_the_positions() {
        let (batch, mut input) = (batch(), Input::default());
        input.prepare(&batch, &HEAD, true);
        assert_eq!((input.shape.tokens, input.shape.masked, input.shape.sequences), (80, 8, 8));
        assert_eq!(input.positions[73..], [0, 1, 2, 3, 4, 5, 6]);
        let mut words = vec![7; input.layout.end];
        input.write(&batch, &HEAD, [[1, 2]; 3].into_iter(), 0.5, &mut words);
        let part = |start: usize, len: usize| words[start..start + len].to_vec();
        assert_eq!(part(input.layout.taken[0], 8), [1, 69, 72, NONE, NONE, NONE, NONE, NONE]);
        assert_eq!(part(input.layout.labels, 4), [2, 0, 9, NONE]);
        assert_eq!(part(input.layout.becomes[0], 80).iter().filter(|row| **row != NONE).count(), 3);
        assert_eq!(part(input.layout.becomes[0] + 72, 1), [2]);
        assert!(input.tables.iter().all(|table| table.order.len() == 73));
    }

    #[test]
    fn any_batch_of_a_capacity_fits_the_room_that_is_planned_for_it() {
        for head in [HEAD, HeadShape { rows: Rows::Examples, has_targets: true, ..HEAD }] {
            for lengths in [&[1usize; 73][..], &[73], &[8, 65], &[20, 53]] {
                let mut batch = Batch::default();
                lengths.iter().for_each(|length| batch.push((0..*length as u32).map(|id| id % 10), [(0, 1)]));
                let capacity = Capacity { tokens: 73, masked: batch.masked_rows.len(), sequences: lengths.len() };
                let (shape, words) = largest(capacity, &head, true);
                let mut input = Input::default();
                input.prepare(&batch, &head, true);
                assert!(input.layout.end <= words, "{lengths:?}: {} words of {words}", input.layout.end);
                for which in 0..3 {
                    let (asked, there) = (&input.shape, &input.tables[which]);
                    assert!(asked.pieces[which] <= shape.pieces[which], "{lengths:?}");
                    assert!(asked.pieces[which] >= there.pieces.len() && asked.keys[which] >= there.keys.len());
                }
                assert!(input.shape.query_tiles >= input.query_tiles.len(), "{lengths:?}");
                assert!(input.shape.key_tiles >= input.key_tiles.len(), "{lengths:?}");
                assert!(input.shape.rows(head.rows) <= shape.rows(head.rows), "{lengths:?}");
                assert!(input.shape.tokens <= shape.tokens && input.shape.masked <= shape.masked);
            }
        }
    }

    #[test]
    fn batches_of_a_mix_of_lengths_repeat_their_launches() {
        // 200 batches of four sequences, every second one of any length up to 512, 15 % masked, of 6-mers, as `tatabox bench step --lengths mix` draws them. By the
        // counts of each batch's own tiles, pieces and keys they were of 44 shapes, each of which is recorded on its own; by the most that there can be,
        // of 29.
        let head = HeadShape { tables: [4101, 512, 2], outputs: 4101, ..HEAD };
        let draw = |counter: u64| {
            let z = (counter + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
        };
        let (mut shapes, mut input) = (std::collections::BTreeSet::new(), Input::default());
        for sequence in (0..800u64).step_by(4) {
            let mut batch = Batch::default();
            for index in sequence..sequence + 4 {
                let length = if index % 2 == 0 { 512 } else { 16 + draw(index) as u32 % 497 };
                let of = |position: u32| draw(index << 20 | u64::from(position) | 1 << 40);
                let masked = (0..length).filter(|position| of(position + 512) % 100 < 15);
                batch.push(
                    (0..length).map(|position| 5 + of(position) as u32 % 4096),
                    masked.map(|position| (position, 7)),
                );
            }
            input.prepare(&batch, &head, true);
            shapes.insert(input.shape);
        }
        assert!(shapes.len() <= 29, "{} shapes", shapes.len());
    }
}
