from rich.console import Console

from clinical_qkt import report


def shown(summary):
    console = Console(record=True, width=200)
    report.print_transfer(console, summary)
    return console.export_text()


def test_the_verdict_is_accepted_or_not_accepted_with_every_reason(made):
    assert shown(made(wrong=0)).rstrip().endswith("\nAccepted.")
    refused = made(wrong=3, worst_forgetting=5)
    text = shown(refused)
    assert [f"Not accepted: {reason}." for reason in refused["against"]] == [
        line for line in text.splitlines() if line.startswith("Not accepted")
    ]
    assert len(refused["against"]) > 1 and "\nAccepted" not in text and "dog (queried)" in text


def test_few_images_and_packages_without_a_voucher_are_told(made):
    summary = made(queried_images=6, wrong=0)
    assert "Only 6 images of dog" in shown(summary)
    summary["untrusted_packages"] = ["hospital_9 (unsigned)"]
    assert "Nobody vouches for the packages of hospital_9 (unsigned)." in shown(summary)


def test_names_are_no_markup(made):
    assert "[red]dog[/red] (queried)" in shown(made(query=("[red]dog[/red]",)))
