use super::*;
use flate2::read::ZlibDecoder;

/// A reader that follows the trees, as browsers do.
struct Wig(Vec<u8>);

impl Wig {
    fn u16(&self, at: u64) -> usize {
        usize::from(u16::from_le_bytes(self.0[at as usize..at as usize + 2].try_into().unwrap()))
    }

    fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.0[at as usize..at as usize + 4].try_into().unwrap())
    }

    fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.0[at as usize..at as usize + 8].try_into().unwrap())
    }

    fn f64(&self, at: u64) -> f64 {
        f64::from_bits(self.u64(at))
    }

    /// A contig's number and length, by the way down the tree.
    fn contig(&self, name: &str) -> Option<(u32, u32)> {
        let tree = self.u64(8);
        assert_eq!(self.u32(tree), CONTIG_MAGIC);
        let key = u64::from(self.u32(tree + 8));
        let mut node = tree + 32;
        loop {
            let (leaf, count) = (self.0[node as usize] == 1, self.u16(node + 2) as u64);
            let item = |at: u64| node + 4 + at * (key + 8);
            let text = |at: u64| {
                let bytes = &self.0[item(at) as usize..(item(at) + key) as usize];
                String::from_utf8(bytes.to_vec()).unwrap().trim_end_matches('\0').to_string()
            };
            if leaf {
                let at = (0..count).find(|&at| text(at) == name)?;
                return Some((self.u32(item(at) + key), self.u32(item(at) + key + 4)));
            }
            let at = (0..count).rev().find(|&at| text(at).as_str() <= name)?;
            node = self.u64(item(at) + key);
        }
    }

    /// The blocks of an index that touch a range, unpacked.
    fn blocks(&self, index: u64, contig: u32, range: (u32, u32)) -> Vec<Vec<u8>> {
        assert_eq!(self.u32(index), INDEX_MAGIC);
        let (mut nodes, mut found) = (vec![index + 48], Vec::new());
        while let Some(node) = nodes.pop() {
            let leaf = self.0[node as usize] == 1;
            for at in 0..self.u16(node + 2) as u64 {
                let item = node + 4 + at * if leaf { 32 } else { 24 };
                let [from, first, to, end] = [0, 4, 8, 12].map(|offset| self.u32(item + offset));
                if (to, end) <= (contig, range.0) || (from, first) >= (contig, range.1) {
                    continue;
                }
                if !leaf {
                    nodes.push(self.u64(item + 16));
                    continue;
                }
                let (start, bytes) = (self.u64(item + 16) as usize, self.u64(item + 24) as usize);
                let mut block = Vec::new();
                ZlibDecoder::new(&self.0[start..start + bytes]).read_to_end(&mut block).unwrap();
                assert!(block.len() <= self.u32(52) as usize);
                found.push(block);
            }
        }
        found
    }

    /// The stretches of a contig that touch a range.
    fn values(&self, name: &str, range: (u32, u32)) -> Vec<(u32, u32, f32)> {
        let (contig, _) = self.contig(name).unwrap();
        let mut found = Vec::new();
        for block in self.blocks(self.u64(24), contig, range) {
            let block = Wig(block);
            assert_eq!((block.u32(0), block.0[20]), (contig, 1));
            for at in 0..block.u16(22) as u64 {
                let item = 24 + 12 * at;
                found.push((block.u32(item), block.u32(item + 4), f32::from_bits(block.u32(item + 8))));
            }
        }
        found.retain(|one| one.1 > range.0 && one.0 < range.1);
        found.sort_by_key(|one| one.0);
        found
    }
}

fn written(contigs: &[(&str, u64)], span: u64, stretches: Vec<Stretch>) -> Wig {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.bw");
    write(&path, contigs, span, stretches.into_iter().map(Ok)).unwrap();
    Wig(std::fs::read(path).unwrap())
}

/// Stretches of 50 bases on the contigs `every` and those between, with a gap now and then.
fn many(contigs: usize, stretches: usize) -> Vec<Stretch> {
    let of = |at: usize| {
        let (contig, own) = (at * contigs / stretches, at as u64 % (stretches / contigs) as u64);
        Stretch { contig, start: 100 * own, end: 100 * own + 50, value: (at % 17) as f32 }
    };
    (0..stretches).map(of).collect()
}

#[test]
fn every_stretch_is_found_through_the_trees() {
    // More contigs, and more blocks, than a node of either tree has children.
    let names: Vec<String> = (0..300).map(|at| format!("chr{at:03}")).collect();
    let contigs: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 200_000)).collect();
    let all = many(300, 600_000);
    let wig = written(&contigs, 50, all.clone());
    assert_eq!((wig.u32(0), wig.u32(wig.0.len() as u64 - 4), wig.u16(4)), (MAGIC, MAGIC, 4));
    assert_eq!((wig.contig("chr299"), wig.contig("chr300"), wig.contig("c")), (Some((299, 200_000)), None, None));
    for contig in [0, 7, 255, 256, 299] {
        let own = all.iter().filter(|one| one.contig == contig);
        let own: Vec<_> = own.map(|one| (one.start as u32, one.end as u32, one.value)).collect();
        assert_eq!(wig.values(&names[contig], (0, 200_000)), own, "{contig}");
        assert_eq!(wig.values(&names[contig], (150_110, 150_320)), own[1_501..1_504], "{contig}");
    }
}

#[test]
fn summaries_and_zoom_levels_add_up() {
    let all = many(2, 4_000);
    let wig = written(&[("a", 200_000), ("b", 300_000)], 50, all.clone());
    let summary = wig.u64(44);
    let sum: f64 = all.iter().map(|one| 50.0 * f64::from(one.value)).sum();
    let squares: f64 = all.iter().map(|one| 50.0 * f64::from(one.value * one.value)).sum();
    assert_eq!((wig.u64(summary), wig.f64(summary + 8), wig.f64(summary + 16)), (200_000, 0.0, 16.0));
    assert_eq!((wig.f64(summary + 24), wig.f64(summary + 32)), (sum, squares));
    let levels = wig.u16(6) as u64;
    assert!((3..=10).contains(&levels), "{levels}");
    let mut last = u64::MAX;
    for level in 0..levels {
        let header = HEADER + level * ZOOM_HEADER;
        assert_eq!(wig.u32(header), 500 * 4u32.pow(level as u32));
        let mut found = (0, 0.0, 0);
        for contig in 0..2 {
            for block in wig.blocks(wig.u64(header + 16), contig, (0, 300_000)) {
                let block = Wig(block);
                for item in (0..block.0.len() as u64).step_by(32) {
                    assert_eq!(block.u32(item), contig);
                    assert!(block.u32(item + 8) - block.u32(item + 4) <= wig.u32(header));
                    found.0 += u64::from(block.u32(item + 12));
                    found.1 += f64::from(f32::from_bits(block.u32(item + 24)));
                    found.2 += 1;
                }
            }
        }
        assert_eq!((found.0, found.1), (200_000, sum), "level {level}");
        assert_eq!(found.2, u64::from(wig.u32(wig.u64(header + 8))));
        assert!(found.2 < last);
        last = found.2;
    }
}

#[test]
fn a_stretch_longer_than_a_zoom_levels_is_summed_piece_by_piece() {
    let wig = written(&[("a", 5_000)], 50, vec![Stretch { contig: 0, start: 100, end: 4_350, value: 2.0 }]);
    let blocks = wig.blocks(wig.u64(HEADER + 16), 0, (0, 5_000));
    let block = Wig(blocks[0].clone());
    let piece = |at: u64| [4, 8, 12].map(|offset| block.u32(32 * at + offset));
    assert_eq!((block.0.len(), piece(0), piece(8)), (9 * 32, [100, 600, 500], [4_100, 4_350, 250]));
    assert_eq!(f32::from_bits(block.u32(24)), 1_000.0);
}

#[test]
fn nothing_and_too_much_are_no_accident() {
    let wig = written(&[("a", 10)], 50, Vec::new());
    assert_eq!((wig.u16(6), wig.values("a", (0, 10))), (0, Vec::new()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.bw");
    let error = write(&path, &[("a", 1 << 32)], 50, std::iter::empty()).unwrap_err();
    assert!(error.to_string().contains("`a` has 4294967296 bases") && error.hint().unwrap().contains("bedgraph"));
    let failing = [Err(Error::Data { what: "half".into(), hint: String::new() })];
    assert!(write(&path, &[("a", 10)], 50, failing.into_iter()).is_err() && !path.exists());
}
