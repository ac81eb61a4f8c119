"""The places where two models differ: found, cut out, attacked and judged, each by itself.

`congruence` (with `constants`) proves most tensors equal without a run; `claims` settles names by values
that `recorder` takes from runs (`inferred` where there are none). `cuts` makes two small models of each
claim, `trial` runs them on values of `hostile`, `arbiter` (with `double`) judges; `reach` tells whether the
models' inputs lead to strange values, `blame` narrows down what fails, `repro` writes it out. `verifier`
leads them by a `surgery.equivalence.promise`; `verdicts` joins what they found with what whole models show.
"""
