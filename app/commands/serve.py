"""`pocketformer serve`: everything the Procfile lists, in the foreground."""

from argparse import Namespace


def run(args: Namespace) -> None:
    from jobs.supervisor import serve

    serve(host=args.host, port=args.port)


def render(result: None) -> str:
    return ""
