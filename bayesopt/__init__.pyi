from bayesopt.budget import BudgetSpent as BudgetSpent
from bayesopt.constraints import Simplex as Simplex
from bayesopt.design import SpaceExhausted as SpaceExhausted
from bayesopt.environment import CVaR as CVaR
from bayesopt.environment import Environment as Environment
from bayesopt.evaluation import Evaluation as Evaluation
from bayesopt.execution.objective import AllEvaluationsFailed as AllEvaluationsFailed
from bayesopt.minimization import maximize as maximize
from bayesopt.minimization import minimize as minimize
from bayesopt.models.gaussian_process import GaussianProcess as GaussianProcess
from bayesopt.models.gaussian_process import Priors as Priors
from bayesopt.models.prior import LogNormal as LogNormal
from bayesopt.models.prior import Normal as Normal
from bayesopt.models.prior import TruncatedNormal as TruncatedNormal
from bayesopt.models.prior import Uniform as Uniform
from bayesopt.parameter import Categorical as Categorical
from bayesopt.parameter import Float as Float
from bayesopt.parameter import Int as Int
from bayesopt.pareto_front import ParetoFront as ParetoFront
from bayesopt.policy import Policy as Policy
from bayesopt.recommend import Recommendation as Recommendation
from bayesopt.space import Space as Space
from bayesopt.storage.records import StorageError as StorageError
from bayesopt.study import Study as Study
from bayesopt.trial import Trial as Trial
from bayesopt.trial import TrialState as TrialState

__version__: str
