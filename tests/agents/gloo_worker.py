"""vLLM's own transfer of weights with gloo in the place of NCCL, which needs a GPU: `installed(folder)` has a
server that finds `folder` on its PYTHONPATH know it as the backend "gloo"."""

from dataclasses import asdict

from tests.agents.gloo_group import GlooGroup


def installed(folder):
    about = folder / "gloo_transfer-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gloo-transfer\nVersion: 1\n")
    entry = f"gloo_transfer = {__name__}:register"
    (about / "entry_points.txt").write_text(f"[vllm.general_plugins]\n{entry}\n")
    return folder


def register():
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
    from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine

    class GlooTransferEngine(NCCLWeightTransferEngine):
        def init_transfer_engine(self, about):
            rank = about.rank_offset + self.parallel_config.rank
            self.joined = GlooGroup.joined(
                about.master_address, about.master_port, about.world_size, rank
            )

        def update_weights(self, told):
            self.receive_weights(self.parse_update_info(told))

        def receive_weights(self, told):
            for weight in self.joined.received(asdict(told)):
                self.model.load_weights([weight])

    if "gloo" not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine("gloo", GlooTransferEngine)
