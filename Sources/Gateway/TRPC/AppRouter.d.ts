/**
 * The procedures of Martlet at /api/trpc, for a TypeScript client of tRPC 11:
 *
 *     const client = createTRPCClient<AppRouter>({ links: [splitLink({
 *       condition: (op) => op.type === 'subscription',
 *       true: httpSubscriptionLink({ url, connectionParams: () => ({ token }) }),
 *       false: httpBatchLink({ url, headers: { authorization: `Bearer ${token}` } }),
 *     })] });
 *
 * Needs no import and no code of the server. Dates are ISO 8601 strings.
 */
export type VmStatus = 'pending' | 'provisioning' | 'running' | 'stopped' | 'error' | 'destroying';

export interface Vm {
  id: string;
  userId: string;
  status: VmStatus;
  vcpus: number;
  memoryMb: number;
  diskGb: number;
  sshPort: number | null;
  sshPublicKey: string | null;
  sshUsername: string | null;
  internalIp: string | null;
  environmentId: string | null;
  totalRuntimeMinutes: number;
  lastStartedAt: string | null;
  lastStoppedAt: string | null;
  lastActivityAt: string | null;
  createdAt: string;
  updatedAt: string;
  errorMessage: string | null;
}

export interface ProvisionLog {
  timestamp: string;
  message: string;
  level: 'info' | 'success' | 'error' | 'debug';
}

/** `ram` and `disk` in GB; `available`: the caller's tier may have it. */
export interface Flavor {
  id: string;
  name: string;
  vcpus: number;
  ram: number;
  disk: number;
  type: string;
  available: boolean;
  region: string;
}

/** `nextCursor` is null when all VMs are listed; `stats` are of all in any case. */
export interface AllVms {
  vms: Vm[];
  hosts: unknown[];
  stats: {
    total: number;
    running: number;
    stopped: number;
    provisioning: number;
    error: number;
    totalVcpus: number;
    totalMemoryMb: number;
    runningVcpus: number;
    runningMemoryMb: number;
  };
  nextCursor: string | null;
}

export interface Ok {
  success: true;
}

export interface RunOptions {
  /** A name or alias of GET /v1/runtimes; bash if left out. */
  language?: string;
  codeEncoding?: 'utf8' | 'base64';
  stdin?: string;
  args?: string[];
  env?: Record<string, string>;
  files?: { path: string; content: string; encoding?: 'utf8' | 'base64' }[];
  timeoutMs?: number;
  network?: 'none' | 'egress';
  limits?: { memoryMb?: number; cpuMs?: number; outputBytes?: number; processes?: number };
  /** Slug or id of another environment of the caller's. */
  environment?: string;
}

/** How a program ended. `exitCode` is 128 and the signal's number where a signal ended it, as shells have it. */
export interface RunEnd {
  exitCode: number;
  signal: string | null;
  /** `not_run`: the VM is in a state in which nothing runs; `stderr` says why. */
  reason: 'exited' | 'signaled' | 'memory' | 'processes' | 'cancelled' | 'not_run';
  stage: 'compile' | 'run' | null;
  durationMs: number | null;
  cpuMs: number | null;
  maxRssBytes: number | null;
  truncated: boolean;
}

export interface ExecResult extends RunEnd {
  executionId: string | null;
  stdout: string;
  stderr: string;
}

export type ExecOutput = { type: 'stdout' | 'stderr'; data: string };

/** A stream ends with one `exit` or `error`, or with an error of the subscription. */
export type ExecEvent =
  | ExecOutput
  | ({ type: 'exit'; code: number } & RunEnd)
  | { type: 'error'; message: string; serviceCode: string; hint: string };

export interface ErrorShape {
  message: string;
  code: number;
  data: { code: string; httpStatus: number; path?: string; serviceCode: string; hint: string; requestId: string };
}

interface Root {
  ctx: object;
  meta: object;
  errorShape: ErrorShape;
  transformer: false;
}

type Procedure<Kind extends 'query' | 'mutation' | 'subscription', Input, Output> = {
  _def: {
    $types: { input: Input; output: Output };
    procedure: true;
    type: Kind;
    meta: unknown;
    experimental_caller: boolean;
    inputs: any[];
  };
  meta: unknown;
  (opts: any): Promise<Output>;
};
type Query<Input, Output> = Procedure<'query', Input, Output>;
type Mutation<Input, Output> = Procedure<'mutation', Input, Output>;
type Subscription<Input, Value> = Procedure<'subscription', Input, AsyncIterable<Value>>;

type Procedures = {
  vm: {
    getMyVm: Query<void, Vm | null>;
    getProvisionLogs: Query<void, ProvisionLog[]>;
    listFlavors: Query<void, Flavor[]>;
    listRegions: Query<void, string[]>;
    getAllVms: Query<{ cursor?: string | null } | void, AllVms>;
    provisionMyVm: Mutation<{ vcpus?: number; memoryMb?: number; diskGb?: number } | void, Vm>;
    startMyVm: Mutation<void, Vm>;
    stopMyVm: Mutation<void, Vm>;
    executeCode: Mutation<{ code: string } & RunOptions, ExecResult>;
    destroyMyVm: Mutation<void, Ok>;
    destroyVm: Mutation<{ vmId: string }, Ok>;
    executeCodeStream: Subscription<{ command: string } & RunOptions, ExecEvent>;
  };
};

export type AppRouter = {
  _def: {
    _config: {
      $types: Root;
      transformer: any;
      errorFormatter: any;
      allowOutsideOfServer: boolean;
      isServer: boolean;
      isDev: boolean;
    };
    router: true;
    procedure?: never;
    procedures: Procedures;
    record: Procedures;
    lazy: any;
  };
  createCaller: any;
} & Procedures;
