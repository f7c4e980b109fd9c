"""The types of recorded messages: by the definition that a recording carries, else by ROS's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.storage.compression import unpacked_message

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

ROS1, ROS2 = "ros1", "cdr"
"""How messages are serialized, by mcap's names."""
_IDL_PART = re.compile(r"^=+\nIDL: [^\n]*\n", re.MULTILINE)


class UnknownTypeError(DataError):
    """Neither the recording nor ROS defines the type of these messages."""


class MessageCodec:
    """Reads the messages of one type.

    Args:
        msgtype: ``package/msg/Type``, or ``package/Type`` as ROS 1 says.
        form: of the definition: ``ros1msg``, ``ros2msg``, ``ros2idl``; empty = there is none.
        definition: its text, with those of the types that it uses.
        encoding: ``ROS1`` or ``ROS2``.

    Raises:
        UnknownTypeError: neither the recording nor ROS defines the type.
        DataError: another encoding.
    """

    def __init__(self, msgtype: str, form: str, definition: str, encoding: str) -> None:
        if encoding not in (ROS1, ROS2):
            raise DataError(f"messages encoded as {encoding or 'nothing known'} are not read, only those of ROS 1 and 2 are")
        self._name = ros_name(msgtype)
        self._two = encoding == ROS2
        self._types = _typestore(self._name, form, definition, jazzy() if self._two else noetic())
        self._convert: Callable[[bytes], bytes] | None = None

    def decoded(self, raw: bytes) -> Any:
        """The message as a dataclass with ROS's field names; raises anything where it is damaged."""
        if self._two:
            return self._types.deserialize_cdr(unpacked_message(raw), self._name)
        return self._types.deserialize_ros1(raw, self._name)

    def cdr(self, raw: bytes) -> bytes:
        """The message in the form and type of ROS 2 Jazzy; raises anything where it is damaged."""
        if self._convert is None:
            self._convert = self._converter()
        return self._convert(unpacked_message(raw) if self._two else raw)

    @property
    def cdr_types(self) -> Typestore:
        """The types of what ``cdr`` gives."""
        return jazzy() if self._name in jazzy().fielddefs else self._types

    def _converter(self) -> Callable[[bytes], bytes]:
        """Messages of ROS 1, and of distributions where the type has other fields, become Jazzy's."""
        from rosbags.convert.converter import is_same_wireformat, migrate_bytes

        source, target, name, two = self._types, jazzy(), self._name, self._two
        if name in target.fielddefs and not is_same_wireformat(source, target, name, name):
            migrate = partial(migrate_bytes, source, target, name, name, {}, src_is2=two, dst_is2=True)
            return lambda raw: bytes(migrate(raw))
        if two:
            return bytes
        types = target if name in target.fielddefs else source
        return lambda raw: bytes(types.ros1_to_cdr(raw, name))


@lru_cache(maxsize=1)
def jazzy() -> Typestore:
    """The message types of ROS 2 Jazzy."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)


@lru_cache(maxsize=1)
def noetic() -> Typestore:
    """The message types of ROS 1 Noetic."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS1_NOETIC)


def ros_name(msgtype: str) -> str:
    """``package/msg/Type`` for the names of ROS 1 and 2; other names stay as they are."""
    package, _, name = msgtype.partition("/")
    return f"{package}/msg/{name}" if name and "/" not in name else msgtype


def _typestore(name: str, form: str, definition: str, known: Typestore) -> Typestore:
    """A store with ``name`` as the recording defines it, or else ``known``."""
    from rosbags.typesys import Stores, get_typestore

    problem = "the recording has no definition of it"
    if form and definition.strip():
        try:
            types = dict(_parsed(name, form, definition))
            for other in _used(types):  # a definition may leave out the ones that everybody has
                types[other] = known.fielddefs[other]
            store = get_typestore(Stores.EMPTY)
            store.register(types)
        except Exception as error:  # whatever the parser meets in somebody's text
            problem = f"its definition cannot be read ({type(error).__name__})"
        else:
            return store
    if name in known.fielddefs:
        return known
    raise UnknownTypeError(f"type {name}: {problem}, and it is none of ROS's own")


def _parsed(name: str, form: str, definition: str) -> dict[str, Any]:
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    if form != "ros2idl":
        return get_types_from_msg(definition, name)
    found: dict[str, Any] = {}
    for part in filter(str.strip, _IDL_PART.split(definition)):
        found.update(get_types_from_idl(part))
    return found


def _used(types: dict[str, Any]) -> Iterator[str]:
    """Names of the types in the fields of ``types``; may be extended while iterating."""
    from rosbags.interfaces import Nodetype

    waiting = list(types)
    while waiting:
        for _, (kind, value) in types.get(waiting.pop(), ((), ()))[1]:
            while kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
                kind, value = value[0]
            if kind == Nodetype.NAME and value not in types:
                yield value
                waiting.append(value)
