"""An asker reads every digit of a private response.

The version before stated the noise on the card as scale over noised count, in 17 digits: the last bits of
the count followed from it, and where count and noise nearly cancelled they proved how many there were.
"""

import math

import pytest
import torch
from safetensors.torch import load_file

from clinical_qkt.audit import last_bits
from clinical_qkt.packages.response import ResponseCard
from clinical_qkt.privacy.mechanisms import Guarantee, discrete_noise, private_release
from tests.query.test_response import PRIVATE, answer, query, site
from tests.query.test_response import pictures as pictures

PROMISED = Guarantee(1.0, 1e-5)


def test_every_number_of_a_private_answer_is_whole_or_publicly_known(pictures, tmp_path):
    """But for epsilon and delta, which are the policy's."""
    folder = tmp_path / "a"
    card = answer(query(tmp_path / "q"), site(pictures, tmp_path, **PRIVATE), folder)
    facts = card.answers[0].model_dump(exclude={"label", "epsilon", "delta"})
    assert not [k for k, v in facts.items() if isinstance(v, float)]
    tensors = load_file(folder / ResponseCard.TENSORS)
    assert tensors and not [k for k, t in tensors.items() if t.is_floating_point()]


@pytest.mark.parametrize("patients", [6, 19])
def test_last_bits_of_many_answers_prove_nothing(patients):
    """19 is where the study that found the leak looked: 183 of 40,000 answers proved that there were 18."""

    def releases(n: int, count: int) -> list[float]:
        nobody = torch.zeros(n, 1, dtype=torch.int64)
        drawn = iter(discrete_noise(PROMISED.sigma, 2 * count))

        def noise(_: int, numbers: int) -> list[int]:
            return [next(drawn) for _ in range(numbers)]

        made = (private_release(nobody, PROMISED, noise) for _ in range(count))
        return [one.read(1.0, PROMISED).count for one in made]

    found = last_bits.audit_last_bits(releases, patients, PROMISED.epsilon, 8000)
    assert found.delta == 0
    # The attack works where there is something to be found; now and then it learns little, where by chance
    # a bit that tells is seen once among the others, too.
    broken = last_bits.float_release(PROMISED)
    tries = (last_bits.audit_last_bits(broken, patients, PROMISED.epsilon, 40_000) for _ in range(5))
    assert max(proofs.delta for proofs in tries) > PROMISED.delta


def test_what_the_student_computes_of_the_noise_is_the_same_whatever_the_patients_are():
    told = {
        private_release(torch.zeros(n, 2, dtype=torch.int64), PROMISED).read(5.0, PROMISED).noise
        for n in (0, 1, 50)
    }
    assert len(told) == 1 and math.isfinite(told.pop())
