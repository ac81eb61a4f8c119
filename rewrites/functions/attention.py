"""Spell scaled_dot_product_attention out for opsets that its export does not know.

    q, k, v ── scaled_dot_product_attention    =>    Softmax(q * scale ── MatMul kᵀ ── Add mask) ── MatMul v

Why: torch exports it from opset 14 on. mmdeploy's rewriter divides by `scale` in place of multiplying,
forgets `is_causal` where there is no mask, and fails on a boolean one.
Numbers: the definition in torch's documentation; rounding may differ.
Refuses: dropout, and grouped queries (`enable_gqa`).
"""

from surgery import Close, Refused, Rewriter, replaces


class Attention(Rewriter):
    """See the module."""

    contract = Close(rtol=1e-5, atol=1e-6)
    exporters = ("torchscript",)
    opsets = range(7, 14)

    @replaces("torch.nn.functional.scaled_dot_product_attention")
    def attention(
        self,
        original,
        query,
        key,
        value,
        attn_mask=None,
        dropout_p=0.0,
        is_causal=False,
        scale=None,
        enable_gqa=False,
    ):
        import torch

        if dropout_p or enable_gqa:
            raise Refused("attention: dropout and grouped queries are not spelt out")
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        scores = (query * scale) @ key.transpose(-2, -1)
        if is_causal:
            queries, keys = (torch.arange(x.shape[-2], device=x.device) for x in (query, key))
            attn_mask = queries.unsqueeze(-1) >= keys
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = torch.where(attn_mask, scores, scores.new_tensor(float("-inf")))
        elif attn_mask is not None:
            scores = scores + attn_mask
        return scores.softmax(-1) @ value
