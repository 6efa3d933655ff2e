# Generated from _async/models.py by deploy/tools/unasync.py. Change that one.
"""What a client asks of the registry service: models, their versions and aliases."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.api.registry.v1 import model_pb2, registry_service_pb2
from penstock.client import records
from penstock.client._sync.paging import Pages
from penstock.client.names import Named, model_name, model_version_ref, project_name, run_name
from penstock.errors import AlreadyExists, NotFound

__all__ = ["Models"]


class Models:
    """The part of a client that speaks with the registry service.

    A model is given by its full name, `projects/digits/models/reader`, or by the last segment of it and a project. A version
    is given as `reader/3` or `reader@production`, or by its full name.

    Attributes:
        registry: The generated stub of the registry service, on the client's authenticated channel.
    """

    registry: Any

    def models(
        self,
        project: str = "default",
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        limit: int | None = None,
    ) -> Pages[model_pb2.Model]:
        """The registered models of a project.

        Args:
            project: The project.
            filter: Which, such as `tags.team = "vision" and aliases.production is not null`; empty means all.
            order_by: The order, such as `update_time desc`; empty means by name.
            limit: How many at most; None means all.
        """
        parent = project_name(project)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[model_pb2.Model], str]:
            response = self.registry.SearchModels(
                registry_service_pb2.SearchModelsRequest(
                    parent=parent, filter=filter, order_by=order_by, page_size=page_size, page_token=page_token
                )
            )
            return response.models, response.next_page_token

        return Pages(
            fetch, lambda model: records.flat(records.model_record(model), ("tags", "aliases")), ["name"], limit
        )

    def model_versions(
        self,
        project: str = "default",
        *,
        model: str | None = None,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        limit: int | None = None,
    ) -> Pages[model_pb2.ModelVersion]:
        """Versions of the models of a project, their metrics without samples.

        Args:
            project: The project.
            model: Only those of this model; None means of all.
            filter: Which, such as `metrics.accuracy > 0.9 and flavors.onnx = true`; empty means all.
            order_by: The order, such as `metrics.accuracy desc`; empty means by model, newest first.
            limit: How many at most; None means all.
        """
        parent = project_name(project)
        if model is not None:
            parent, _, model_id = model_name(model, project).rpartition("/models/")
            quoted = model_id.replace('"', '""')
            filter = f'model = "{quoted}"' + (f" and ({filter})" if filter.strip() else "")  # noqa: A001 - as above

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[model_pb2.ModelVersion], str]:
            response = self.registry.SearchModelVersions(
                registry_service_pb2.SearchModelVersionsRequest(
                    parent=parent, filter=filter, order_by=order_by, page_size=page_size, page_token=page_token
                )
            )
            return response.versions, response.next_page_token

        return Pages(
            fetch, lambda version: records.flat(records.model_version_record(version)), ["name", "version"], limit
        )

    def model(self, model: str, *, project: str = "default") -> model_pb2.Model:
        """One model. Raises `NotFound`."""
        response = self.registry.GetModel(registry_service_pb2.GetModelRequest(name=model_name(model, project)))
        return response.model

    def model_version(self, version: str, *, project: str = "default") -> model_pb2.ModelVersion:
        """One version: `reader/3`, `reader@production`, or `reader@latest` for the newest. Raises `NotFound`."""
        ref = model_version_ref(version, project)
        if ref.alias is not None:
            response = self.registry.GetModelAlias(registry_service_pb2.GetModelAliasRequest(name=ref.name))
            return response.version
        response = self.registry.GetModelVersion(registry_service_pb2.GetModelVersionRequest(name=ref.name))
        return response.version

    def lineage(self, version: str, *, project: str = "default") -> registry_service_pb2.GetLineageResponse:
        """What a version was made from, and what came of it: its run, the datasets and artifacts that the run used, other
        versions of the same run or with the same files, and the runs that used its files.

        Raises `NotFound`, `ServerUnavailable`.
        """
        name = (self.model_version(version, project=project)).name
        return self.registry.GetLineage(registry_service_pb2.GetLineageRequest(name=name))

    def dataset_lineage(
        self, name: str, digest: str, *, project: str = "default"
    ) -> registry_service_pb2.GetDatasetLineageResponse:
        """What came of a dataset: the `runs` that used it, and the `versions` of models that came of these.

        Raises `ServerUnavailable`.
        """
        return self.registry.GetDatasetLineage(
            registry_service_pb2.GetDatasetLineageRequest(parent=project_name(project), name=name, digest=digest)
        )

    def create_model(
        self,
        model: str,
        *,
        project: str = "default",
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> model_pb2.Model:
        """Creates a model without versions.

        Args:
            model: Its name: 1 to 256 characters, any but `/`, `:` and control characters.
            project: The project.
            description: What it is for, Markdown, at most 10,000 characters.
            tags: At most 1,000.

        Raises:
            AlreadyExists: There is one of this name.
        """
        parent, _, model_id = model_name(model, project).rpartition("/models/")
        response = self.registry.CreateModel(
            registry_service_pb2.CreateModelRequest(
                parent=parent, model_id=model_id, model=model_pb2.Model(description=description, tags=tags)
            )
        )
        return response.model

    def register_version(
        self,
        model: str,
        version: model_pb2.ModelVersion | None = None,
        *,
        project: str = "default",
        run: "str | Named | None" = None,
        artifact_manifest: str = "",
        artifact_version: str = "",
        source_uri: str = "",
        description: str = "",
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        baseline: model_pb2.ModelBaseline | None = None,
        request_id: str = "",
    ) -> model_pb2.ModelVersion:
        """Registers a version of a model under the next number. Creates the model if there is none of the name.

        Args:
            model: The model.
            version: What has no argument here: signature, flavours, datasets, slices and samples of metrics, the size. The
                arguments are added to it.
            project: The project.
            run: The run that made it.
            artifact_manifest: Its files: the digest of a manifest, 64 hex digits.
            artifact_version: The version of an artifact that has them, by its full name.
            source_uri: Where its files are, if not in the project. Recorded, never opened.
            description: What is new in it, Markdown.
            tags: At most 1,000.
            metrics: Values measured on all data, by key.
            baseline: How its training data looked.
            request_id: Makes a repeat safe: at most 64 characters, unique per version. Empty: each call registers another.

        Raises:
            InvalidInput: What is given makes no version.
        """
        name = model_name(model, project)
        whole = model_pb2.ModelVersion()
        if version is not None:
            whole.CopyFrom(version)
        whole.MergeFrom(
            model_pb2.ModelVersion(
                run="" if run is None else run_name(run, project),
                artifact_manifest=artifact_manifest,
                artifact_version=artifact_version,
                source_uri=source_uri,
                description=description,
                tags=tags,
                metrics=[model_pb2.ModelMetric(key=key, value=value) for key, value in (metrics or {}).items()],
            )
        )
        request = registry_service_pb2.CreateModelVersionRequest(
            parent=name, version=whole, baseline=baseline, request_id=request_id
        )
        try:
            response = self.registry.CreateModelVersion(request)
        except NotFound as error:
            if error.reason != "MODEL_NOT_FOUND":
                raise
            with contextlib.suppress(AlreadyExists):  # somebody else was quicker
                self.create_model(name)
            response = self.registry.CreateModelVersion(request)
        return response.version

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int,
        *,
        project: str = "default",
        reason: str = "",
        expected_version: int | None = None,
    ) -> model_pb2.ModelAlias:
        """Points an alias to a version: moves it, or makes it.

        Args:
            model: The model.
            alias: The alias: 1 to 255 letters, digits, `_` and `-`.
            version: The number of the version.
            project: The project.
            reason: Why, for the history.
            expected_version: If given, it must still point to the version of this number, 0 for none.

        Raises:
            NotFound: There is no such model or version.
            Conflict: The alias is protected, or does not point where it is expected to.
        """
        response = self.registry.SetModelAlias(
            registry_service_pb2.SetModelAliasRequest(
                parent=model_name(model, project),
                alias=alias,
                version=version,
                reason=reason,
                expected_version=expected_version,
            )
        )
        return response.alias

    def delete_alias(self, model: str, alias: str, *, project: str = "default", reason: str = "") -> None:
        """Deletes an alias. Raises `NotFound`, `Conflict` if it is protected."""
        name = f"{model_name(model, project)}/aliases/{alias}"
        self.registry.DeleteModelAlias(registry_service_pb2.DeleteModelAliasRequest(name=name, reason=reason))

    def alias_moves(
        self, model: str, *, project: str = "default", alias: str = "", limit: int | None = None
    ) -> Pages[model_pb2.AliasMove]:
        """The moves of the aliases of a model, newest first: who, when, from where to where, why.

        Args:
            model: The model.
            project: The project.
            alias: Only those of this alias; empty means of all.
            limit: How many at most; None means all.
        """
        parent = model_name(model, project)

        def fetch(page_size: int, page_token: str) -> tuple[Sequence[model_pb2.AliasMove], str]:
            response = self.registry.ListAliasMoves(
                registry_service_pb2.ListAliasMovesRequest(
                    parent=parent, alias=alias, page_size=page_size, page_token=page_token
                )
            )
            return response.moves, response.next_page_token

        return Pages(fetch, records.move_record, ["alias", "from_version", "to_version"], limit)

    def tag_model(
        self,
        model: str,
        tags: Mapping[str, str] | None = None,
        *,
        project: str = "default",
        remove: Iterable[str] = (),
    ) -> model_pb2.Model:
        """Sets tags of a model and removes others. Raises `NotFound`, `LimitExceeded`."""
        response = self.registry.UpdateModelTags(
            registry_service_pb2.UpdateModelTagsRequest(name=model_name(model, project), set=tags, remove=remove)
        )
        return response.model

    def tag_model_version(
        self,
        version: str,
        tags: Mapping[str, str] | None = None,
        *,
        project: str = "default",
        remove: Iterable[str] = (),
    ) -> model_pb2.ModelVersion:
        """Sets tags of a version and removes others. Raises `NotFound`, `LimitExceeded`."""
        name = (self.model_version(version, project=project)).name
        response = self.registry.UpdateModelVersionTags(
            registry_service_pb2.UpdateModelVersionTagsRequest(name=name, set=tags, remove=remove)
        )
        return response.version
