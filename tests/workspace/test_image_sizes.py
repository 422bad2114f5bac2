"""What each module adds to an image, by the instructions that Docker remembers of its layers."""

from __future__ import annotations

from dagster_module_builder.compose.image_sizes import shares


def test_layers_belong_to_the_module_whose_path_follows_them() -> None:
    paths = ("/workspace/projects/a/src", "/workspace/projects/b/src:/workspace/projects/a/src")
    ours = [
        ("RUN base", 9),
        ("ENV DAGSTER_HOME=/h PYTHONPATH=/p", 0),
        ("RUN a", 2),
        (f"ENV PYTHONPATH={paths[0]}:/p", 0),
    ]
    assert shares([*ours, ("RUN more", 3)]) == {"a": 2}
    theirs = [("RUN base", 9), (f"ENV PYTHONPATH={paths[0]}", 0), ("RUN b", 4), (f"ENV PYTHONPATH={paths[1]}", 0)]
    assert shares(theirs) == {"a": 9, "b": 4}


def test_the_image_of_a_modules_own_code_server_has_no_shares() -> None:
    own = "ENV PIP_BREAK_SYSTEM_PACKAGES=1 PYTHONPATH=/workspace/projects/a/src DAGSTER_HOME=/opt/dagster/home"
    assert shares([("RUN base", 9), (own, 0), ("RUN a", 2)]) == {}
