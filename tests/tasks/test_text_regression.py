"""Texts with a number each: from a table to answers."""

import pytest

from tests import recipes
from tests.tasks import regression


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    return regression.trained_on(recipes.text_regression_config(folder), folder)


def test_it_is_nearer_than_always_the_mean(trained):
    regression.check_that_it_learns(trained)


def test_eval_gives_errors_and_ranks_with_their_intervals_in_the_unit_of_the_column(trained):
    regression.check_evaluation(trained)
    assert (abs(trained.answers - 1000.0) < 300.0).all()


@pytest.mark.slow
def test_an_export_answers_like_the_run(trained):
    regression.check_export(trained, [text.encode() for text in trained.inputs])


@pytest.mark.slow
def test_two_runs_are_compared(trained):
    regression.check_comparison(trained)


def test_tensorboard_shows_where_it_attends_and_numbers_against_predictions(trained):
    regression.check_tensorboard(trained)


def test_attention_is_shown_with_numbers(trained, tmp_path):
    regression.check_explanation(trained, tmp_path)


def test_training_ends_with_suggestions_of_what_to_do_next(trained):
    regression.check_next_commands(trained)
