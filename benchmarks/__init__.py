"""The figures that the project promises, each measured beside its peer in one run.

    python -m benchmarks.startup          the command line against ``python -c pass``
    python -m benchmarks.backend_rules    rules of targets against what backends did with measured cases
    python -m benchmarks.apply            apply on real models against onnxslim
    python -m benchmarks.cleanup          the pass cleanup against the engines that it runs
    python -m benchmarks.large_graph      100,000 nodes against onnx-graphsurgeon
    python -m benchmarks.large_weights    3 GB of weights
    python -m benchmarks.large_sites      40 places of a model of 3 GB, verified
    python -m benchmarks.sites            site verification of what optimizers made

A machine's speed drifts while it is measured: what is compared runs in turn, and only ratios of
medians are judged. The exit status is 1 where a figure is missed.
"""
