from uq.adaptive import expectations as expectations
from uq.estimates import Expectations as Expectations
from uq.impact.impact_of_inputs import input_impact as input_impact
from uq.impact.law_impacts import InputImpact as InputImpact
from uq.inputs import Inputs as Inputs
from uq.joint_laws import JointLaw as JointLaw
from uq.pick_freeze import SobolDesign as SobolDesign
from uq.pick_freeze import sobol_design as sobol_design
from uq.reliability.failure_probabilities import FailureProbability as FailureProbability
from uq.reliability.study import ReliabilityStudy as ReliabilityStudy
from uq.reliability.study import failure_probability as failure_probability
from uq.shapley.effects import shapley_effects as shapley_effects
from uq.sobol import sobol_estimate as sobol_estimate
from uq.sobol import sobol_indices as sobol_indices
from uq.sobol_results import SobolIndices as SobolIndices

__version__: str
