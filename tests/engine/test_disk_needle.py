"""The shipped model answers about a document that an earlier process has read."""

from itertools import takewhile

from longreach import LLM, SamplingParams
from longreach.config import DiskCacheConfig

FILLER = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
)
DOCUMENT = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I "
    "will quiz you about the important information there.\n"
    + FILLER * 60
    + "The pass key is 28884. Remember it. 28884 is the pass key. "
    + FILLER * 60
)


def ask(directory, question):
    disk = DiskCacheConfig(directory=directory)
    with LLM("needle", max_model_len=8192, disk_cache=disk) as llm:
        messages = [{"role": "user", "content": f"{DOCUMENT}\n{question}"}]
        (output,) = llm.chat(messages, SamplingParams(temperature=0.0, max_tokens=24))
        return output


def num_alike(*outputs):
    """Leading tokens that the prompts have in common."""
    columns = zip(*(output.prompt_token_ids for output in outputs), strict=False)
    return sum(1 for _ in takewhile(lambda column: len({*column}) == 1, columns))


def test_an_answer_from_disk(tmp_path):
    """After a restart the document is not read again, and the key in it is found all the same."""
    first = ask(tmp_path, "What is the pass key?")
    again = ask(tmp_path, "What is the pass key?")
    other = ask(tmp_path, "\nWhat is the pass key?")
    for output in (first, again, other):
        assert "28884" in output.outputs[0].text
    assert first.metrics.num_cached_tokens == 0
    whole = again.metrics.num_prompt_tokens - 1
    assert again.metrics.num_cached_tokens == again.metrics.num_restored_tokens == whole
    assert again.outputs[0].token_ids == first.outputs[0].token_ids
    assert other.metrics.num_cached_tokens == num_alike(first, other) < whole
