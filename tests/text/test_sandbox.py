"""The limits of the template sandbox, each provoked once, and what must stay possible."""

from __future__ import annotations

import datetime as dt

import jinja2
import pytest
from jinja2.exceptions import SecurityError

from longreach.text.sandbox import Budget, ChatEnvironment

DOUBLING = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}STEP{% endfor %}"


def run(source, budget=None, **variables):
    environment = ChatEnvironment()
    template = environment.compile_template(source, lambda literal: literal)
    return environment.run(template, budget or Budget(chars=10_000), variables)


@pytest.mark.parametrize(
    "source",
    [
        DOUBLING.replace("STEP", "{% set ns.x = ns.x + ns.x %}"),
        DOUBLING.replace("STEP", "{% set ns.x = ns.x ~ ns.x %}"),
        DOUBLING.replace("STEP", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
        DOUBLING.replace("STEP", "{% set ns.x = ns.x.replace('a', 'aa') %}"),
        DOUBLING.replace("STEP", "{% set ns.x = ns.x | replace('a', 'aa') %}"),
        DOUBLING.replace("STEP", "{% set ns.x = [ns.x, ns.x] | join('-') %}"),
        DOUBLING.replace("STEP", "{% set ns.x = ns.x.join([ns.x, ns.x]) %}"),
        DOUBLING.replace("STEP", "{% set ns.x = '{0}{0}'.format(ns.x) %}"),
        DOUBLING.replace("STEP", "{% set ns.x = '%s%s' % (ns.x, ns.x) %}"),
        DOUBLING.replace("STEP", "{% set ns.x = '%s%s' | format(ns.x, ns.x) %}"),
        DOUBLING.replace("'ab'", "[1, 2]").replace("STEP", "{% set ns.x = ns.x + ns.x %}"),
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 9 * [1] }}",
        "{{ 'a'.ljust(10 ** 9) }}",
        "{{ 'a' | center(10 ** 9) }}",
        "{{ 'a\nb' | indent(10 ** 9) }}",
        "{{ '\t'.expandtabs(10 ** 9) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 10 ** 9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10 ** 9, 1) }}",
        "{{ [1] | tojson(indent=10 ** 9) }}",
        "{{ 10 ** 10 ** 10 }}",
        "{% for i in range(99999) %}{{ 'abc' }}{% endfor %}",
    ],
)
def test_text_does_not_grow_without_bound(source):
    """Every way to make a huge text or number is stopped before the memory is taken."""
    with pytest.raises(SecurityError):
        run(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        (
            "{% macro f(n) %}{{ f(n) if n < 0 else '' }}{% endmacro %}"
            "{% for a in range(99999) %}{{ f(1) }}{% endfor %}"
        ),
    ],
)
def test_loops_end(source):
    """Loop turns and macro calls are counted."""
    with pytest.raises(SecurityError, match="too many loop turns"):
        run(source, Budget(chars=10_000, steps=5_000))


def test_time_is_limited():
    """A rendering stops at the first step after its time."""
    with pytest.raises(SecurityError, match="took more than"):
        run("{% for a in range(9) %}{% endfor %}", Budget(chars=100, seconds=-1.0))


def test_endless_recursion_ends():
    """A macro that calls itself for ever ends in an error of Python's own."""
    with pytest.raises(RecursionError):
        run("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")


def test_counters_cannot_be_replaced():
    """A template that sets names of ours changes nothing."""
    source = "{% set count_step = 1 %}{% set environment = 1 %}{% for a in range(9) %}{% endfor %}"
    with pytest.raises(SecurityError, match="too many loop turns"):
        run(source, Budget(chars=100, steps=3))


def test_ordinary_operations_work():
    """What templates do with a long text stays possible under a limit near its size."""
    text = "100% {of} it: 123456\n" * 400
    source = (
        "{% set c = content.strip().replace('it', 'that') %}"
        "{{ c | replace('that', 'it') | indent(2) }}"
        "{{ '%s-%05.2f' % ('a', 1) }}{{ '{}|{:>5}'.format('a', 2) }}{{ [1, 'b'] | join(',') }}"
        "{{ 7 % 4 }}{{ 3 * 4 }}{{ 2 ** 5 }}{{ '-' * 3 }}{{ 'a'.center(5) }}{{ dict(a=1) | tojson }}"
    )
    expected = text.strip().replace("\n", "\n  ") + "a-01.00a|    21,b31232---  a  " + '{"a": 1}'
    assert run(source, Budget(chars=100_000), content=text) == expected


def test_what_templates_of_transformers_use():
    """Loop controls, the generation tag, the date, trimmed blocks and JSON without escapes."""
    source = (
        "{% for i in range(9) %}\n  {% if i == 1 %}{% continue %}{% endif %}\n"
        "  {% if i == 3 %}{% break %}{% endif %}\n{{ i }}{% endfor %}"
        "{% generation %}[{{ {'é': '<'} | tojson }}]{% endgeneration %}{{ strftime_now('%Y') }}"
    )
    assert run(source) == '02[{"é": "<"}]' + str(dt.datetime.now(dt.UTC).astimezone().year)


def test_literals_are_passed_through():
    """Every literal text of a template, data or constant, goes through the given function."""
    environment = ChatEnvironment()
    source = "a{{ 'a' ~ b }}{% if x == 'a' %}{{ {'a': 'a'}['a'] }}{% endif %}"
    template = environment.compile_template(source, lambda literal: literal.replace("a", "@"))
    assert environment.run(template, Budget(chars=99), {"b": "a", "x": "@"}) == "@@a@"


def test_errors_of_the_template_language():
    """A template's own complaint keeps its words."""
    with pytest.raises(jinja2.TemplateError, match="only two roles"):
        run("{{ raise_exception('only two roles') }}")
