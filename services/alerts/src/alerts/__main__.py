"""``python -m alerts``: exit code 0 when stopped, 1 when it must be restarted, 2 when a person must act."""

from alerts.service import main

if __name__ == "__main__":
    main()
