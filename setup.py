"""What pyproject.toml cannot say: an editable install notes which sources its compiled modules were built of."""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent))
from airflow_provider_ddbexport.core.compiled.sources import note_sources


class BuildAndNote(build_ext):
    """Builds, and notes what was built where it is put beside its sources."""

    def run(self) -> None:
        self.built: list[str] = []
        super().run()

    def build_extension(self, ext: Extension) -> None:
        super().build_extension(ext)
        # Not where it failed: what lies beside the sources then, if anything, was built of others.
        self.built.append(ext.name.rpartition(".")[2])

    def copy_extensions_to_source(self) -> None:
        super().copy_extensions_to_source()
        for module in self.built:
            note_sources(module)


setup(cmdclass={"build_ext": BuildAndNote})
