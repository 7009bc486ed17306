"""Classes that are left out of a metric's means."""

from __future__ import annotations


class ExcludesClasses:
    """Part of a metric of MMEngine's that checks ``exclude``, names of classes, against the data set's."""

    exclude: tuple[str, ...] = ()

    @property
    def dataset_meta(self) -> dict | None:
        """Classes and palette of the data set."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        unknown = set(self.exclude) - set(meta['classes'])
        if unknown:
            raise ValueError(
                f'{type(self).__name__}: exclude names {", ".join(sorted(unknown))}, but the classes are '
                f'{", ".join(meta["classes"])}'
            )
        self._dataset_meta = meta

    def counted(self) -> list[bool]:
        """Of each class whether it counts."""
        assert self._dataset_meta is not None
        return [name not in self.exclude for name in self._dataset_meta['classes']]
