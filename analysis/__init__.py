"""From a store to an answer: intervals over seeds, the MI account, figures, the report. No torch, no ray."""
