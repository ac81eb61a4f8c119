"""Torch code as a user's package has it: what the rewriters of the tests replace."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch.nn.functional import interpolate


class Base(torch.nn.Module):
    def inherited(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Neck(Base):
    """Nearest upsampling, as FPNs have it."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.reduce = torch.nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(width)
        self.out = torch.nn.Conv2d(width, 4, 1)

    def up(self, x: torch.Tensor, factor: float = 2.0) -> torch.Tensor:
        return functional.interpolate(x, scale_factor=factor)

    @staticmethod
    def scaled(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @classmethod
    def shifted(cls, x: torch.Tensor) -> torch.Tensor:
        return x + len(cls.__name__)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.reduce(x)).relu()
        return torch.sigmoid(self.out(self.scaled(self.shifted(self.inherited(self.up(y))))))


class ByBatch(Neck):
    """What a trace gets wrong: the batch decides."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.reduce(x)).relu()
        return self.out(y * float(x.shape[0]))


class Rigid(Neck):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[3] != 48:
            raise ValueError("the width must be 48")
        return super().forward(x)


class Picky(Neck):
    """Takes some sizes, as nets with windows or a least length do."""

    def __init__(self, least: int = 1, multiple: int = 1, either: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.least, self.multiple, self.either = least, multiple, either

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        if min(height, width) < self.least or height % self.multiple or width % self.multiple:
            raise ValueError("no such size")
        if self.either and self.either[0] != height and self.either[1] != width:
            raise ValueError("one of them is fixed")
        return super().forward(x)


def resize(x: torch.Tensor) -> torch.Tensor:
    return interpolate(x, scale_factor=2.0)


def example(kind: type[Neck] = Neck, batch: int = 1) -> tuple[Any, ...]:
    torch.manual_seed(0)
    module = kind()
    torch.nn.init.normal_(module.norm.running_mean, std=0.1)
    return module.eval(), torch.randn(batch, 3, 32, 48), {"x": {0: "batch", 2: "height", 3: "width"}}


def by_batch() -> tuple[Any, ...]:
    return example(ByBatch)


def in_training() -> tuple[Any, ...]:
    module, args, dynamic = example()
    return module.train(), args, dynamic


def odd() -> tuple[Any, ...]:
    module, _, dynamic = example()
    return module, torch.randn(1, 5, 32, 48), dynamic


def rigid() -> tuple[Any, ...]:
    return example(Rigid)


class Foreign(Neck):
    """What ONNX has no operator for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.pinv(super().forward(x))


class Recurrent(torch.nn.Module):
    """As recognisers of text are: a step for every column."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(6, 4, bidirectional=True)
        self.out = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.rnn(x.flatten(1, 2).permute(2, 0, 1))
        length, batch, _ = steps.shape
        return self.out(steps.view(length * batch, 8)).view(length, batch, 5)


def recurrent() -> tuple[Any, ...]:
    torch.manual_seed(0)
    return Recurrent().eval(), torch.randn(2, 3, 2, 24), {"x": {0: "batch", 3: "width"}}


def foreign() -> tuple[Any, ...]:
    return example(Foreign)


def broken() -> tuple[Any, ...]:
    raise RuntimeError("no weights")


def alone() -> Any:
    return example()[0]


class Options(torch.nn.Module):
    """Arguments that may be left out, or must be given by name."""

    def forward(self, x, mask=None, bias=None, *, scale=None):
        x = x if mask is None else x * mask
        x = x if bias is None else x + bias
        return x if scale is None else x / scale


class Scribbling(Neck):
    """Writes into its input, and counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        x.mul_(2)
        return super().forward(x)


class Noisy(Neck):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(super().forward(x))


class Idle(Neck):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class Whatever(torch.nn.Module):
    """Gives what it is told to."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> Any:
        return x, self.value


class Some(torch.nn.Module):
    """How many rows it gives, values decide; here it is all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x.sum(1) > -1e6] + 1


def noisy() -> tuple[Any, ...]:
    return example(Noisy)


def by_list() -> tuple[Any, ...]:
    module, x, _ = example()
    return module, x, ["x"]


def leaves() -> Any:
    raise SystemExit(3)


def function() -> tuple[Any, ...]:
    return resize, example()[1]
