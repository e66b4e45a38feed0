"""The optimiser against plain formulas: singular values, and torch's own AdamW and Muon."""

import pytest
import torch
from torch import nn

from pixelword.train.muon import MuonAdamW, optimiser_for, orthogonalised


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(7, 6)
        self.first, self.second = nn.Linear(6, 10), nn.Linear(10, 6)
        self.third = nn.Linear(6, 10, bias=False)
        self.lm_head = nn.Linear(10, 7, bias=False)

    def forward(self, ids):
        return self.lm_head(self.third(self.second(self.first(self.embed_tokens(ids)).tanh())))


def loss_of(model):
    ids = torch.arange(7)
    return nn.functional.cross_entropy(model(ids), ids.flip(0))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 20), (2, 20, 5)])
def test_singular_values_are_pushed_towards_one(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.tensor([1e-3, 1.0, 50.0])[: shape[0], None, None]
    values = torch.linalg.svdvals(orthogonalised(matrices))
    before = torch.linalg.svdvals(matrices)
    usable = before > 0.05 * before[:, :1]
    assert values[usable].min() > 0.4 and values.max() < 1.35
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    turned = torch.einsum("mir,mrj->mij", left, right)
    cosine = (orthogonalised(matrices) * turned).sum((1, 2)) / turned.square().sum((1, 2)).sqrt()
    assert (cosine / orthogonalised(matrices).norm(dim=(1, 2)) > 0.9).all()


def test_stacked_matrices_are_treated_one_by_one():
    torch.manual_seed(0)
    matrices = torch.randn(4, 6, 9)
    one_by_one = torch.cat([orthogonalised(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalised(matrices), one_by_one, rtol=0, atol=0.02)


def test_which_parameter_gets_which():
    names = {name: optimiser_for(name, parameter) for name, parameter in Small().named_parameters()}
    assert {name for name, optimiser in names.items() if optimiser == "Muon"} == {
        "first.weight",
        "second.weight",
        "third.weight",
    }


def test_everything_but_the_matrices_moves_as_with_torchs_adamw():
    torch.manual_seed(0)
    ours, theirs = Small(), Small()
    theirs.load_state_dict(ours.state_dict())
    for model in (ours, theirs):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(optimiser_for(name, parameter) == "AdamW")
    mine = MuonAdamW(ours.named_parameters(), 0.01, weight_decay=0.1)
    decayed = [p for p in theirs.parameters() if p.requires_grad and p.ndim > 1]
    kept = [p for p in theirs.parameters() if p.requires_grad and p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}]
    witness = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98), eps=1e-8)
    for _ in range(5):
        for model, optimiser in ((ours, mine), (theirs, witness)):
            optimiser.zero_grad()
            loss_of(model).backward()
            optimiser.step()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has a Muon from 2.9 on")
def test_matrices_move_as_with_torchs_muon():
    torch.manual_seed(0)
    ours, theirs = Small(), Small()
    theirs.load_state_dict(ours.state_dict())
    for model in (ours, theirs):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(optimiser_for(name, parameter) == "Muon")
    mine = MuonAdamW(ours.named_parameters(), 0.01, weight_decay=0.1)
    matrices = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    witness = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for model, optimiser in ((ours, mine), (theirs, witness)):
            optimiser.zero_grad()
            loss_of(model).backward()
            optimiser.step()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=2e-3)  # both iterate in bfloat16, ours on stacks


def test_state_goes_through_a_file_and_the_run_continues_the_same(tmp_path):
    torch.manual_seed(0)
    straight, stopped = Small(), Small()
    stopped.load_state_dict(straight.state_dict())
    whole, first = MuonAdamW(straight.named_parameters(), 0.01), MuonAdamW(stopped.named_parameters(), 0.01)

    def steps(model, optimiser, number):
        for _ in range(number):
            optimiser.zero_grad()
            loss_of(model).backward()
            optimiser.step()

    steps(straight, whole, 6)
    steps(stopped, first, 3)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = MuonAdamW(stopped.named_parameters(), 0.01)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(stopped, second, 3)
    for left, right in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(left, right)


def test_frozen_parameters_have_no_place_in_it():
    model = Small()
    model.first.requires_grad_(False)
    held = {id(p) for group in MuonAdamW(model.named_parameters(), 0.01).param_groups for p in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
