"""All that the bundles' configs name: ``$import clinical_qkt.bundle as qkt``, then ``$qkt.…``.

These names stay where they are, whatever moves behind them: hospitals keep copies of bundles.
"""

from clinical_qkt.bundle.loading import at_once as at_once
from clinical_qkt.bundle.loading import claim as claim
from clinical_qkt.bundle.loading import contract as contract
from clinical_qkt.bundle.loading import image_items as image_items
from clinical_qkt.bundle.loading import kept as kept
from clinical_qkt.bundle.loading import kept_images as kept_images
from clinical_qkt.bundle.loading import ledger_of as ledger_of
from clinical_qkt.bundle.loading import load_data as load_data
from clinical_qkt.bundle.loading import load_model as load_model
from clinical_qkt.bundle.loading import load_query as load_query
from clinical_qkt.bundle.loading import network_spec as network_spec
from clinical_qkt.bundle.loading import prepare as prepare
from clinical_qkt.bundle.loading import test_items as test_items
from clinical_qkt.bundle.loading import trainable as trainable
from clinical_qkt.bundle.loading import unfinished as unfinished
from clinical_qkt.bundle.running import bundle_root as bundle_root
from clinical_qkt.bundle.running import check as check
from clinical_qkt.bundle.running import launch as launch
from clinical_qkt.bundle.running import run as run
from clinical_qkt.bundle.stages import answer as answer
from clinical_qkt.bundle.stages import finish_training as finish_training
from clinical_qkt.bundle.stages import folds_alone as folds_alone
from clinical_qkt.bundle.stages import per_class_metric as per_class_metric
from clinical_qkt.bundle.stages import pred_and_label as pred_and_label
from clinical_qkt.bundle.stages import private_training as private_training
from clinical_qkt.bundle.stages import query as query
from clinical_qkt.bundle.stages import save_evaluation as save_evaluation
from clinical_qkt.bundle.stages import save_predictions as save_predictions
from clinical_qkt.bundle.stages import share as share
from clinical_qkt.bundle.stages import transfer as transfer
from clinical_qkt.bundle.start import learner as learner
from clinical_qkt.bundle.start import pretrained as pretrained
from clinical_qkt.bundle.start import seen as seen
from clinical_qkt.bundle.start import started as started
from clinical_qkt.bundle.training_options import as_handler as as_handler
from clinical_qkt.bundle.training_options import class_weights as class_weights
from clinical_qkt.bundle.training_options import require_default_training as require_default_training
from clinical_qkt.bundle.training_options import tell_class_weights as tell_class_weights
from clinical_qkt.bundle.training_options import training_options as training_options
from clinical_qkt.core.errors import QKTError as QKTError
from clinical_qkt.core.progress import TRAINING_BAR as TRAINING_BAR
from clinical_qkt.data.look_augmentation import look_augmentation as look_augmentation
from clinical_qkt.data.transforms import reading as reading
from clinical_qkt.data.transforms import show_progress as show_progress
from clinical_qkt.data.transforms import symmetries as symmetries
from clinical_qkt.networks.mix_style import mix_styles as mix_styles
from clinical_qkt.review.tracking.handlers import TrackTraining as TrackTraining
from clinical_qkt.training.best import Best as Best
from clinical_qkt.training.handlers import FiniteLoss as FiniteLoss
from clinical_qkt.training.handlers import Resume as Resume
from clinical_qkt.training.handlers import SeedEachEpoch as SeedEachEpoch
