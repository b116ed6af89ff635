"""The base of objects that hold secrets."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Concealed"]


class Concealed:
    """An immutable object whose values are not shown, and which cannot be pickled.

    It is no attrs class and no dataclass, so that ``asdict`` and its like have no fields to walk over.
    """

    __slots__ = ()

    def _set(self, **values: Any) -> None:
        """Give the slots their values, once."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        msg = f"{type(self).__name__} is immutable"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        msg = f"{type(self).__name__} is immutable"
        raise AttributeError(msg)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __copy__(self) -> Concealed:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Concealed:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        msg = (
            f"{type(self).__name__} cannot be pickled, so that no secret is written anywhere: make it in the process "
            "that uses it, for instance of its environment"
        )
        raise TypeError(msg)

    def __getstate__(self) -> NoReturn:
        self.__reduce_ex__(0)
