"""Sampling, and the log-probabilities that go with it: what it kept is what the model says of its answers."""

import pytest
import torch
from text_worlds import as_batch, gpt2, prompts_of, tiny

from prefrl.text import packing
from prefrl.text.generation import draw, left_padded, sample
from prefrl.text.models import LanguageModel
from prefrl.text.packing import answer_log_probs, chosen_log_probs, pack
from prefrl.text.products import rough_gradients


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_sampled_log_probs_are_the_teacher_forced_ones(kind: str, temperature: float, each: int) -> None:
    """Prompts of many lengths (padded left), rows dropped as they end, in several batches, at any temperature."""
    lm = tiny(spread=3.0)
    lm = lm if kind == "llama" else LanguageModel(gpt2(spread=4.0), lm.tokenizer)
    prompts = prompts_of([1, 7, 3, 12, 2, 2, 5, 9] * 4)
    answers = sample(lm, prompts, each=each, most=20, temperature=temperature, batch=12, generator=seeded())
    assert 0 < int(answers.ended.sum()) < len(answers.ended)  # some end, some are cut off
    assert len(set(answers.mask.sum(dim=1).tolist())) > 3
    batch = as_batch(prompts, answers, each)
    with torch.no_grad():
        forced = answer_log_probs(lm, batch, temperature=temperature)
    assert torch.equal(batch.mask, answers.mask)
    assert (forced - answers.log_probs).abs().max() < 1e-5


def test_log_probs_do_not_depend_on_the_order_or_the_company() -> None:
    lm, prompts = tiny(spread=8.0), prompts_of([1, 7, 3, 12])
    answers = sample(lm, prompts, most=10, generator=seeded())
    batch = as_batch(prompts, answers)
    with torch.no_grad():
        together = answer_log_probs(lm, batch, temperature=1.0)
        order = torch.tensor([2, 0, 3, 1])
        assert (answer_log_probs(lm, batch[order], temperature=1.0) - together[order]).abs().max() < 1e-5
        for i in range(4):
            alone = answer_log_probs(lm, batch[i : i + 1], temperature=1.0)
            assert (alone - together[i]).abs().max() < 1e-5


def test_log_probs_equal_the_models_own_logits() -> None:
    """Against the plain forward pass of one sequence without any padding."""
    lm, prompts = tiny(spread=8.0), prompts_of([4, 6])
    answers = sample(lm, prompts, most=10, generator=seeded())
    got = answer_log_probs(lm, as_batch(prompts, answers), temperature=0.5)
    for i, prompt in enumerate(prompts):
        answer = answers.tokens[i][answers.mask[i]].tolist()
        logits = lm.model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0] / 0.5
        wanted = [logits[len(prompt) - 1 + t].log_softmax(dim=-1)[token] for t, token in enumerate(answer)]
        assert (got[i][answers.mask[i]] - torch.stack(wanted)).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_sharing_a_prompt_changes_neither_log_probs_nor_gradients(kind: str) -> None:
    """Against plain forward passes of one sequence each, prompts and answers being of many lengths."""
    lm = tiny(spread=3.0)
    lm = lm if kind == "llama" else LanguageModel(gpt2(spread=4.0), lm.tokenizer)
    prompts = prompts_of([1, 6, 3])
    answers = sample(lm, prompts, each=4, most=10, generator=seeded())
    assert len(set(answers.mask.sum(dim=1).tolist())) > 2
    order = torch.randperm(12, generator=seeded())
    weights = torch.randn(answers.mask.shape, generator=seeded()) * answers.mask

    def gradients(log_probs: torch.Tensor) -> list[torch.Tensor]:
        lm.model.zero_grad()
        (log_probs * weights).sum().backward()  # type: ignore[no-untyped-call]
        return [p.grad.clone() for p in lm.model.parameters() if p.grad is not None]

    shared = torch.empty(answers.mask.shape)
    shared[order] = answer_log_probs(lm, as_batch(prompts, answers, 4)[order], temperature=0.7)
    found = gradients(shared)
    plain = torch.zeros(answers.mask.shape)
    for i, length in enumerate(answers.mask.sum(dim=1).tolist()):
        prompt, answer = prompts[i // 4], answers.tokens[i, :length]
        logits = lm.model(input_ids=torch.tensor([[*prompt, *answer.tolist()]])).logits[0, len(prompt) - 1 : -1] / 0.7
        plain[i, :length] = logits.log_softmax(dim=-1).gather(1, answer[:, None])[:, 0]
    assert (shared - plain).abs().max() < 1e-5
    wanted = gradients(plain)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()) + 1e-6)


def test_chunks_change_neither_log_probs_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, prompts = tiny(spread=8.0), prompts_of([4, 6, 3])
    batch = as_batch(prompts, sample(lm, prompts, most=10, generator=seeded()))
    found = []
    for logits in (10**9, 60):  # two states at a time
        monkeypatch.setattr(packing, "LOGITS", logits)
        lm.model.zero_grad()
        log_probs = answer_log_probs(lm, batch, temperature=1.0)
        log_probs.sum().backward()  # type: ignore[no-untyped-call]
        found.append((log_probs.detach(), [p.grad.clone() for p in lm.model.parameters() if p.grad is not None]))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_large_chunks_are_read_once_more_as_they_were_read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gradients are rough meanwhile: the second reading takes place when they are not."""
    states = torch.randn(700, 16, generator=seeded())
    head, tokens = torch.nn.Linear(16, 30, bias=False), torch.arange(700) % 30
    monkeypatch.setattr(packing, "LOGITS", 30 * 300)
    with rough_gradients():
        found = chosen_log_probs(head, states.requires_grad_(), tokens)
    found.sum().backward()  # type: ignore[no-untyped-call]
    wanted = torch.autograd.grad(head(states).log_softmax(dim=-1).gather(1, tokens[:, None]).sum(), states)[0]
    assert states.grad is not None
    assert torch.allclose(states.grad, wanted, atol=1e-5)


def test_answers_follow_the_distribution() -> None:
    """The first token of 4,000 answers to one prompt: every frequency within 4 standard errors of its probability."""
    lm, prompts = tiny(spread=8.0), prompts_of([5])
    answers = sample(lm, prompts, each=4000, most=1, temperature=2.0, batch=4000, generator=seeded())
    logits = lm.model(input_ids=torch.tensor(prompts)).logits[0, -1].detach() / 2.0
    p = logits.softmax(dim=-1)
    frequency = torch.bincount(answers.tokens[:, 0], minlength=len(p)) / 4000
    assert ((frequency - p).abs() <= 4 * (p * (1 - p) / 4000).sqrt() + 1e-3).all()


def test_nothing_follows_an_end_and_every_answer_has_a_token() -> None:
    lm, prompts = tiny(spread=4.0), prompts_of([3] * 50)
    answers = sample(lm, prompts, most=12, generator=seeded())
    for tokens, mask, ended in zip(answers.tokens, answers.mask, answers.ended, strict=True):
        real = tokens[mask].tolist()
        assert real
        assert lm.end not in real[:-1]
        assert bool(ended) == (real[-1] == lm.end)
        assert ended or len(real) == 12


def test_a_prompt_may_hold_the_end_token() -> None:
    """A prompt that begins or ends with it is read whole, and the answer's own end still ends it."""
    lm, prompts = tiny(spread=8.0), [[2, 5, 6, 2], [2, 7]]
    answers = sample(lm, prompts, most=8, generator=seeded())
    batch = as_batch(prompts, answers)
    with torch.no_grad():
        assert (answer_log_probs(lm, batch, temperature=1.0) - answers.log_probs).abs().max() < 1e-5
    packed = pack(batch, torch.device("cpu"))
    prompts_seen = [p[real].tolist() for p, real in zip(packed.prompts, packed.real, strict=True)]
    assert [prompts_seen[i] for i in packed.which] == prompts


def test_the_same_seed_draws_the_same_and_greedy_draws_the_best() -> None:
    lm, prompts = tiny(spread=8.0), prompts_of([3, 5, 4])
    first, again, other = (sample(lm, prompts, most=10, generator=seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens)
    assert first.tokens.shape != other.tokens.shape or not torch.equal(first.tokens, other.tokens)
    greedy = sample(lm, prompts, most=1, temperature=0, generator=seeded())
    best = [int(lm.model(input_ids=torch.tensor([p])).logits[0, -1].argmax()) for p in prompts]
    assert greedy.tokens[:, 0].tolist() == best


def test_left_padding() -> None:
    ids, mask = left_padded([[5], [7, 8, 9]])
    assert ids.tolist() == [[0, 0, 5], [7, 8, 9]]
    assert mask.tolist() == [[False, False, True], [True, True, True]]


def test_a_token_without_probability_is_never_drawn() -> None:
    """And the others in their proportions, to 4 standard errors."""
    p = torch.tensor([0.0, 0.7, 0.0, 0.3, 0.0])
    counts = torch.bincount(draw(p.log().expand(10_000, -1), seeded())[:, 0], minlength=5)
    assert counts[p == 0].sum() == 0
    assert abs(int(counts[1]) - 7000) < 4 * (10_000 * 0.7 * 0.3) ** 0.5
