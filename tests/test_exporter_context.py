"""Rewriters in force: what is replaced, what is refused, and that everything is put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import _net as net  # noqa: E402

import surgery  # noqa: E402
from surgery import BadInput, Changes, Missing, Refused, Rewriter, patched, replaces  # noqa: E402

NET = "_net"


class Linear(Rewriter):
    contract = Changes("bilinear instead of nearest")
    factor: float = 1.0

    @replaces(f"{NET}.Neck.up")
    def up(self, original, module, x, factor=2.0):
        return original(x, factor) * self.factor


class Everything(Rewriter):
    @replaces(f"{NET}.Neck.up")
    def up(self, original, module, x, factor=2.0):
        return original(x, factor) * 3

    @replaces(f"{NET}.Neck.scaled")
    def scaled(self, original, x):
        return original(x) * 3

    @replaces(f"{NET}.Neck.shifted")
    def shifted(self, original, cls, x):
        assert isinstance(cls, type)
        return original(x) * 3

    @replaces(f"{NET}.Neck.inherited")
    def inherited(self, original, module, x):
        return original(x) * 3

    @replaces(f"{NET}.resize", "torch.nn.functional.interpolate")
    def function(self, original, *args, **kwargs):
        return original(*args, **kwargs) * 3

    def alter(self, module, change):
        change(module.norm, "weight", module.norm.weight * 2)
        change(module, "out", torch.nn.Identity())


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Whatever a test does, afterwards all is as it was."""
    before = state()
    yield
    assert state() == before


def state() -> dict[str, int]:
    held = {
        f"{c.__name__}.{k}": v
        for c in (net.Base, net.Neck)
        for k, v in vars(c).items()
        if callable(v) or k in "scaledshifted"
    }
    held |= {"resize": net.resize, "interpolate": net.interpolate, "F": torch.nn.functional.interpolate}
    held |= {"export": torch.onnx.export}
    return {name: id(value) for name, value in held.items()}


def apply_all(module: Any) -> list[float]:
    x = torch.ones(1, 1, 2, 2)
    calls = [
        module.up,
        module.scaled,
        module.shifted,
        module.inherited,
        net.resize,
        type(module).scaled,
        type(module).shifted,
    ]
    return [float(call(x).flatten()[0]) for call in calls]


PLAIN = [1.0, 2.0, 5.0, 2.0, 1.0, 2.0, 5.0]
# `up` and `resize` call interpolate, which is replaced as well
REPLACED = [9.0, 6.0, 15.0, 6.0, 9.0, 6.0, 15.0]


def test_everything_is_replaced_and_restored() -> None:
    module, *_ = net.example()
    weight, out = module.norm.weight, module.out
    assert apply_all(module) == PLAIN
    with patched(Everything(), module=module) as force:
        assert apply_all(module) == REPLACED
        assert torch.equal(module.norm.weight, weight * 2)
        assert isinstance(module.out, torch.nn.Identity)
    assert apply_all(module) == PLAIN
    assert module.norm.weight is weight
    assert module.out is out
    (one,) = [f for f in force if f.named]
    assert one.altered == 2
    assert one.calls[f"{NET}.Neck.scaled"] == 2


def test_nested_reentered_and_raised_inside() -> None:
    module, *_ = net.example()
    context = patched(Everything(), module=module)
    with context:
        with context:
            assert apply_all(module)[1:4] == [18.0, 45.0, 18.0]
        assert apply_all(module) == REPLACED
    assert apply_all(module) == PLAIN
    with pytest.raises(ZeroDivisionError), context:
        _ = 1 / 0
    assert apply_all(module) == PLAIN
    with context:
        assert apply_all(module) == REPLACED
    with patched(Linear(factor=5.0)), patched(Everything(), module=module):
        assert apply_all(module)[0] == 3 * 5 * 3.0
    assert apply_all(module) == PLAIN
    assert "inherited" not in vars(net.Neck)


def test_a_module_is_changed_while_it_is_exported() -> None:
    module, x, _ = net.example()
    weight = module.norm.weight

    class Double(Rewriter):
        def alter(self, module, change):
            change(module.norm, "weight", module.norm.weight * 2)

    import io

    def export() -> Any:
        import onnx

        file = io.BytesIO()
        torch.onnx.export(
            module, (x,), file, dynamo=False, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE
        )
        (values,) = [t for t in onnx.load_from_string(file.getvalue()).graph.initializer if t.name == "norm.weight"]
        return onnx.numpy_helper.to_array(values)

    with patched(Double()):
        assert module.norm.weight is weight
        assert (export() == 2 * weight.detach().numpy()).all()
        assert module.norm.weight is weight
    assert (export() == weight.detach().numpy()).all()


def rewriter(path: str, method: Any = None, **settings: Any) -> Rewriter:
    method = method or (lambda self, original, *args, **kwargs: original(*args, **kwargs))
    return type("Made", (Rewriter,), {"method": replaces(path)(method), "name": "made", **settings})()


@pytest.mark.parametrize(
    ("path", "error", "why"),
    [
        ("nowhere.at.all", Missing, "'nowhere' is not installed"),
        (f"{NET}.Nick.forward", Refused, "_net has no 'Nick'"),
        (f"{NET}.Neck.backward_", Refused, "_net.Neck has no 'backward_'"),
        (f"{NET}.interpolate", Refused, "leads to torch.nn.functional.interpolate"),
        ("torch.nn.Linear.forward", Refused, "leads to torch.nn.modules.linear.Linear"),
        (f"{NET}.Neck", Refused, "which is no function"),
        (f"{NET}.NET.forward", Refused, "has no 'NET'"),
        (f"{NET}.functional.interpolate", Refused, "is no class|leads to"),
    ],
)
def test_a_path_that_leads_elsewhere(path: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why) as caught, patched(Everything(), rewriter(path), registered=False):
        pytest.fail("entered")
    assert "rewriter '" in str(caught.value)


@pytest.mark.parametrize(
    "method",
    [
        lambda self, original, module, x: None,
        lambda self, original, module, x, factor: None,
        lambda self, original, module, x, factor=3.0: None,
        lambda self, original, module, x, scale=2.0: None,
        lambda self, original, x, factor=2.0: None,
    ],
)
def test_a_changed_signature(method: Any) -> None:
    made = rewriter(f"{NET}.Neck.up", method)
    with (
        pytest.raises(Refused, match=r"(?s)rewriter '.*' replaces _net.Neck.up with the parameters.*factor=2.0"),
        patched(made),
    ):
        pytest.fail("entered")


def test_two_for_one_function() -> None:
    module, *_ = net.example()

    class Other(Rewriter):
        priority = 1

        @replaces(f"{NET}.Neck.up")
        def up(self, original, module, x, factor=2.0):
            return original(x, factor) + 1

        @property
        def name(self):
            return "other"

    class Equal(Other):
        priority = 0

    with (
        pytest.raises(BadInput, match=r"'test-exporter-context' and 'other' both replace _net.Neck.up"),
        patched(Linear(), Equal()),
    ):
        pytest.fail("entered")
    for order in ((Linear(factor=5.0), Other()), (Other(), Linear(factor=5.0))):
        with patched(*order):
            assert apply_all(module)[0] == 6.0
    with pytest.raises(BadInput, match="named twice"):
        patched(Linear(), Linear())


def test_named_and_never_called() -> None:
    with pytest.raises(Refused, match="'test-exporter-context' had nothing to replace"), patched(Linear()):
        pass
    with pytest.raises(KeyError), patched(Linear()):
        raise KeyError  # is not hidden by the other


def test_filters() -> None:
    made = type("Made", (Linear,), {"backends": ("acme",), "exporters": ("dynamo",), "opsets": range(7, 12)})()
    module, *_ = net.example()
    with patched(made, backend="acme", exporter="dynamo", opset=11):
        module(torch.zeros(1, 3, 8, 8))
    for settings, why in (
        ({"backend": "tensorrt"}, "is for acme, not for tensorrt"),
        ({"exporter": "torchscript"}, "is for the exporter dynamo"),
        ({"opset": 17}, "is for opsets 7 to 11, not for 17"),
        ({"backend": "tensorrrt"}, "no backend 'tensorrrt'"),
        ({"exporter": "onnxscript"}, "no exporter 'onnxscript'"),
    ):
        with pytest.raises(BadInput, match=why):
            patched(made, **settings)


def test_what_is_in_force_without_being_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the registry that replace what is loaded, fit, and change nothing."""
    made = {
        "plain": rewriter(f"{NET}.Neck.up"),
        "changes": rewriter(f"{NET}.Neck.up", contract=Changes("all")),
        "absent": rewriter("nowhere.at.all"),
        "acme": rewriter(f"{NET}.Neck.up", backends=("acme",)),
        "late": rewriter(f"{NET}.Neck.up", opsets=range(18, 30)),
    }
    from surgery import registry

    monkeypatch.setattr(registry, "entries", lambda kind=None: {n: SimpleNamespace(error="", name=n) for n in made})
    monkeypatch.setattr(registry, "load", lambda entry: type(made[entry.name]))
    with patched(opset=17) as force:
        assert [type(f.rewriter) for f in force] == [type(made["plain"])]
    with pytest.raises(BadInput, match="both replace"), patched(backend="acme", opset=17):
        pytest.fail("entered")


def test_classes_that_do_nothing_are_rejected() -> None:
    with pytest.raises(TypeError, match="replaces nothing"):
        type("Idle", (Rewriter,), {})
    method = replaces(f"{NET}.Neck.up")(lambda self, original, *a, **k: None)
    with pytest.raises(TypeError, match="by a and by b"):
        type("Twice", (Rewriter,), {"a": method, "b": method})


def test_public_names() -> None:
    assert surgery.patched is patched
    assert "torch" in sys.modules
