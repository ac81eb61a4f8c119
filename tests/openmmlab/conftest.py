"""Tests on the real packages of OpenMMLab; they run in the environment that ``make mmdeploy`` makes."""

import importlib.util

if importlib.util.find_spec("mmdeploy") is None:
    collect_ignore_glob = ["test_*.py"]
