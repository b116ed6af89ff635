from pathlib import Path
from textwrap import dedent

from tests.typing.blocks import modules, pages

PAGE = dedent(
    """\
    # A page

    ```python
    import trio

    limit = 3
    async with open_it() as it:  # at the top level
        await it
    print(limit)
    ```

    ```python
    async def nested() -> None:
        await trio.sleep(limit)


    await nested()
    ```

    <!-- needs: kraken -->
    ```python
    trio.run(main)
    ```

    ```sh
    ls
    ```
    """
)


def test_blocks_share_a_module_and_what_awaits_is_put_into_functions() -> None:
    shared, _program = modules(PAGE)
    assert [line.text for line in shared] == [
        "import trio",
        "",
        "limit = 3",
        "async def line_7() -> None:",
        "    async with open_it() as it:  # at the top level",
        "        await it",
        "print(limit)",
        "async def nested() -> None:",
        "    await trio.sleep(limit)",
        "async def line_15() -> None:",
        "    ",
        "    ",
        "    await nested()",
    ]


def test_every_line_knows_its_place_on_the_page() -> None:
    on_page = PAGE.splitlines()
    for module in modules(PAGE):
        for line in module:
            if not line.text.startswith("async def line_"):
                assert line.text.strip() == on_page[line.number - 1].strip()


def test_a_program_is_a_module_of_its_own() -> None:
    _shared, program = modules(PAGE)
    assert [line.text for line in program] == ["trio.run(main)"]


def test_a_page_without_blocks_makes_no_module() -> None:
    assert modules("# Only text\n") == []


def test_all_pages_are_found() -> None:
    found = pages(Path(__file__).parents[2])
    assert Path("README.md") in found
    assert Path("docs/howto/testing.md") in found
