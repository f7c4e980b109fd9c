"""words_node: words in, the map's instances that they mean out.

A text on ``words/query`` is answered on ``words/found``: one line of JSON, as ``seg2d3d find --json`` prints it, and on
``words/markers``: the instances' places, the best one largest. The service ``~/find`` does the same for the text in the
parameter ``find_words``, and ``~/classify`` says what each instance is of the names in ``classify_labels``; both may be
changed at any time.

The node reads the map directory, which the other nodes write, and therefore runs on their machine. It changes nothing in it but
``embeddings.npz``: names are written by ``seg2d3d classify`` when the drive is over.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from std_msgs.msg import String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.language.classification import name_instances
from seg2d3d_ros.language.embedding import embed_map
from seg2d3d_ros.language.text_image_model import obtain_model
from seg2d3d_ros.language.word_search import Found, search_map
from seg2d3d_ros.mapstore.held_map import join_map
from seg2d3d_ros.ros.messages.conversion import make_header
from seg2d3d_ros.ros.messages.found_messages import found_markers
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import WordsParameters
from seg2d3d_ros.ros.node.qos import LATCHED, PROMPTS
from seg2d3d_ros.ros.node.spinning import spin_node


class WordsNode(ManagedNode):
    """See the module."""

    NAME = "words_node"
    PARAMETERS = WordsParameters
    SECTIONS = ("segmentation", "words")
    CHANGEABLE = ("find_words", "find_top", "classify_labels")
    ros: WordsParameters

    def configure(self) -> None:
        self._store = join_map(Path(self.ros.map_dir))
        self._model = obtain_model(self.config.words.model, self.config.segmentation.networks, self.diagnostics.findings)
        self._asked = {name: getattr(self.ros, name) for name in self.CHANGEABLE}
        self._found = self.advertise(String, "words/found", LATCHED)
        self._markers = self.advertise(MarkerArray, "words/markers", LATCHED)

    def activate(self) -> None:
        self._at_work = threading.Lock()
        self.get_logger().info("loading the model")
        self._model.load()
        self._answering = self.worker("words", self._answer, depth=PROMPTS.depth)
        self.subscribe(String, "words/query", self._answering.put, PROMPTS)
        self.serve(Trigger, "~/find", self._find, slow=True)
        self.serve(Trigger, "~/classify", self._classify, slow=True)

    def cleanup(self) -> None:
        self._model.free()

    def change(self, values: dict[str, Any]) -> None:
        self._asked.update(values)

    def _answer(self, message: String) -> None:
        """A question on the topic; what cannot be answered is said there, too."""
        try:
            self._search(message.data)
        except Seg2d3dError as error:
            self.get_logger().warning(str(error))
            self._found.publish(String(data=json.dumps({"words": message.data, "instances": [], "error": str(error)})))

    def _find(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._asked["find_words"].strip():
            raise UsageError("no words to look for: set the parameter find_words, or ask on the topic words/query")
        response.message = self._search(self._asked["find_words"])
        response.success = True
        return response

    def _search(self, words: str) -> str:
        """Search and publish; returns the answer."""
        findings = Findings()
        with self._at_work:
            found = search_map(self._store, words, self._model, self.config.words, self._asked["find_top"], findings)
        self._note(findings)
        if not found:
            raise DataError("; ".join([f"{self._store.root}: no instance yet that words could find", *_texts(findings)]))
        self._markers.publish(self._places(found))
        answer = {"words": words, "model": self._model.name, "instances": [item.to_json() for item in found]}
        text = json.dumps({**answer, "findings": [finding.to_json() for finding in findings.list()]})
        self._found.publish(String(data=text))
        self.diagnostics.count("questions answered")
        return text

    def _places(self, found: list[Found]) -> MarkerArray:
        return found_markers(found, make_header(self.get_clock().now().nanoseconds, self.ros.map_frame))

    def _classify(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        labels = [word.strip() for word in self._asked["classify_labels"].split(",") if word.strip()]
        findings = Findings()
        with self._at_work:
            embeddings = embed_map(self._store, self._model, self.config.words.views, findings)
            tracks = self._store.read_tracks()
            named = name_instances(labels, tracks, embeddings, self._model, self.config.words.margin, findings)
        self._note(findings)
        answer = {"labels": labels, "model": self._model.name, "instances": [item.to_json() for item in named]}
        response.message = json.dumps({**answer, "findings": [finding.to_json() for finding in findings.list()]})
        response.success = bool(named)
        return response

    def _note(self, findings: Findings) -> None:
        for finding in findings.list():
            self.diagnostics.findings.put(finding)


def _texts(findings: Findings) -> list[str]:
    return [finding.text for finding in findings.list()]


def main() -> None:
    """Console script."""
    sys.exit(spin_node(WordsNode))


if __name__ == "__main__":
    main()
