"""Callbacks of training libraries, each in the form that its library expects: they log what the library tells of a training.

One module per library, which imports that library:

| library | use it as |
| --- | --- |
| Lightning | `Trainer(logger=penstock.integrations.lightning.PenstockLogger())` |
| Transformers | `Trainer(callbacks=[penstock.integrations.transformers.PenstockCallback()])` |
| Accelerate | `Accelerator(log_with=penstock.integrations.accelerate.PenstockTracker())` |
| Keras | `model.fit(..., callbacks=[penstock.integrations.keras.PenstockCallback()])` |
| XGBoost | `xgboost.train(..., callbacks=[penstock.integrations.xgboost.PenstockCallback()])` |
| LightGBM | `lightgbm.train(..., callbacks=[penstock.integrations.lightgbm.PenstockCallback()])` |
| Optuna | `study.optimize(..., callbacks=[penstock.integrations.optuna.PenstockCallback()])` |
| scikit-learn | `estimator.set_callbacks(penstock.integrations.sklearn.PenstockCallback())` |

All log into the run that they are given, or else into the one that is going on. The first three run on many ranks, of which
one logs: they start a run themselves if none is going on. None of them ends a run that it did not start.
"""
