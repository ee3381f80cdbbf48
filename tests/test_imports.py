"""No module imports itself by way of others. What may import what, `lint-imports` checks."""

from graphlib import CycleError, TopologicalSorter

import grimp


def test_no_imports_go_in_a_circle() -> None:
    """Imports inside functions and for type checking count: they only hide a circle.

    Those of the package itself do not, as Python runs it before any module in it: they are made on first use.
    """
    graph = grimp.build_graph("revisage", cache_dir=None)
    imports = {
        module: graph.find_modules_directly_imported_by(module) for module in graph.modules - {"revisage"}
    }
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' <- '.join(error.args[1])}") from None
