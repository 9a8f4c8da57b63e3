"""``python -m clinical_qkt`` is ``clinical-qkt``."""

from clinical_qkt.cli.app import main

if __name__ == "__main__":
    main()
