"""The Parquet files that tatabox_core reads in its tests, written by pyarrow.

    python benches/peers/parquet.py crates/tatabox-core/tests/golden
"""
import sys

import pyarrow as pa
import pyarrow.parquet as pq

folder = sys.argv[1]
sequences = ["ACGTACGTAC", "GGTTacgtNN", "TTTTTTTTTT", "CCCCCCCCCC"]
table = pa.table({"sequence": sequences, "label": [1, 0, 1, None], "fold": ["train", "train", "test", "test"]})
pq.write_table(table.slice(0, 3), f"{folder}/snappy.parquet", compression="snappy")
table = pa.table({"id": pa.array(["a", "b", "c", "d"]).dictionary_encode(), "sequence": pa.array([s.encode() for s in sequences]),
                  "liver": [True, False, True, False], "brain": [False, False, True, True]})
pq.write_table(table, f"{folder}/zstd.parquet", compression="zstd", row_group_size=3)
table = pa.table({"sequence": sequences, "activity": [[0.5, -1.25], [1.0, 2.0], [3.0, 1e-7], [0.0, 4.0]]})
pq.write_table(table, f"{folder}/lists.parquet", compression="none")
table = pa.table({"sequence": sequences, "label": [1, 0, 1, None]})
pq.write_table(table, f"{folder}/null.parquet", compression="gzip")
