"""Commands called in this process."""

import pytest

from exomni import cli


@pytest.fixture
def run(capsys):
    """`run("show", "nano")`: exit code, stdout and stderr of a command."""

    def call(*arguments: str):
        code = cli.main(arguments)
        output = capsys.readouterr()
        return code, output.out, output.err

    return call
