import pytest
import torch

from longreach.layers import decoder_layer
from longreach.layers.decoder_layer import LayerStep
from longreach.layers.embedding import Embedding
from longreach.layers.norm import RMSNorm
from longreach.models.loader import load_model
from longreach.ops.attention import AttentionScratch
from longreach.ops.norm.reference import rms_norm_reference
from longreach.ops.pattern import GroupPattern, Pattern
from support.stepping import Stepper, random_tokens


def test_pieces_cover_every_row_once(monkeypatch):
    """Rows are cut into pieces of at most PIECE_ROWS, in order, without gap or overlap."""
    monkeypatch.setattr(decoder_layer, "PIECE_ROWS", 8)
    for rows in (0, 1, 7, 8, 9, 25):
        slots = torch.arange(rows)
        step = LayerStep((), slots, slots, slots, None, AttentionScratch())
        covered = [row for piece in step.pieces() for row in range(rows)[piece]]
        assert covered == list(range(rows))
        assert all(piece.stop - piece.start <= 8 for piece in step.pieces())


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("computed", [torch.float32, torch.bfloat16])
def test_embedding_converts_after_the_lookup(stored, computed):
    """Rows of the table in its own dtype, converted to the compute dtype, into the buffer given."""
    table = torch.randn(11, 6).to(stored)
    ids = torch.tensor([3, 0, 3, 10])
    out = torch.empty(4, 6, dtype=computed)
    got = Embedding(table)(ids, out)
    assert got.data_ptr() == out.data_ptr()
    assert torch.equal(out, table[ids].to(computed))


def test_norm_keeps_its_weight_in_float32():
    """A bfloat16 weight is widened once, and the norm equals the reference."""
    weight = (torch.rand(16) + 0.5).bfloat16()
    norm = RMSNorm(weight, 1e-6)
    assert norm.weight.dtype == torch.float32
    x = torch.randn(3, 2, 16)
    torch.testing.assert_close(norm(x), rms_norm_reference(x, weight, 1e-6).float())


def test_the_pattern_a_choice_returns_is_obeyed(tiny_qwen2):
    """Each layer asks the slice's choice, with its un-rotated queries, and attends as it says."""
    decoder, config = load_model(tiny_qwen2, dtype="float32")
    asked = []
    own_tile = GroupPattern(columns=torch.empty(0).long(), tile_diagonals=torch.tensor([0]), tile=8)

    class OwnTile:
        def choose(self, layer, q_TNH, k_GSH, meta):
            asked.append((layer, tuple(q_TNH.shape), meta.length))
            return Pattern((own_tile,) * k_GSH.shape[0])

    tokens = random_tokens(20)
    got = Stepper(decoder, choice=OwnTile()).request(tokens, cuts=(12,))
    heads = (config.num_heads, config.head_dim)
    assert asked == [(layer, (n, *heads), n) for n in (12, 8) for layer in (0, 1)]
    dense = Stepper(decoder).request(tokens)
    torch.testing.assert_close(got[:8], dense[:8])
    assert (got[8:] - dense[8:]).abs().amax(dim=1).min() > 1e-3
