"""Drop the second of two Relus in a row.

    x ── Relu ── Relu ── y        =>      x ── Relu ── y

Why: blocks that each end and begin with an activation export both.
Numbers: Relu leaves what is not negative as it is, so the second changes nothing; NaN passes both.
Refuses: nothing. The first Relu stays for whatever else reads it.
"""

from surgery import Exact, Pass


class DoubleRelu(Pass):
    contract = Exact()

    def pattern(self, op, x):
        return op.Relu(op.Relu(x))

    def rewrite(self, op, match):
        return op.Relu(match.inputs[0])
