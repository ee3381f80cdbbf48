"""`python archive_nodes.py IN OUT`: restore on a cluster of two nodes, of which one is killed meanwhile."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import archive_stub

from revisage.batch import SaveOptions, plan_photos
from revisage.batch.engines import ray as engines_ray
from revisage.batch.engines.processes import Work
from revisage.image import DecodeLimits
from revisage.restore import RestoreOptions


def main() -> None:
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # loopback only
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=1)
    jobs = plan_photos([Path(sys.argv[1])], Path(sys.argv[2]))
    work = Work(archive_stub.make, RestoreOptions(), SaveOptions(), 1)
    outcomes = []
    with engines_ray.connected(nodes.address):
        for outcome in engines_ray.restore_all(jobs, work, engines_ray.Pool(2), DecodeLimits()):
            outcomes.append(outcome)
            if len(outcomes) == 5:
                nodes.remove_node(second, allow_graceful=False)
    nodes.shutdown()
    assert len({outcome.job for outcome in outcomes}) == len(outcomes)
    print(f"{len(outcomes)} outcomes, {sum(outcome.error is not None for outcome in outcomes)} failed")


if __name__ == "__main__":
    main()
