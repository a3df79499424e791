"""Rows on disk: what is written comes back, sample by sample, without all of it in memory."""

import numpy as np
import torch

from exomni.data import row_store


def test_rows_come_back_as_they_were(tmp_path):
    rows = {f"s{count}": torch.randn(count, 5, generator=torch.Generator().manual_seed(count)) for count in (3, 1, 40)}
    assert row_store.write(tmp_path, rows.items()) == {"samples": 3, "rows": 44}
    store = row_store.RowStore(tmp_path)
    assert set(store) == set(rows) and all(torch.equal(store[name], rows[name]) for name in rows)
    assert np.load(tmp_path / row_store.ROWS).shape == (44, 5) and isinstance(store.rows, np.memmap)


def test_lower_precision_is_stored_as_float32(tmp_path):
    rows = torch.ones(2, 3, dtype=torch.bfloat16)
    row_store.write(tmp_path, [("a", rows)])
    assert row_store.RowStore(tmp_path)["a"].dtype == torch.float32
