{{/* Names and labels. */}}
{{- define "tradecast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for "-redis", "-feed" and a ReplicaSet's hash behind it. */}}
{{- define "tradecast.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "tradecast.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" $ "component" "server"). */}}
{{- define "tradecast.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tradecast.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* With "more" for labels of a component's own values, which take precedence over commonLabels. */}}
{{- define "tradecast.labels" -}}
{{ include "tradecast.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tradecast
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- include "tradecast.ownLabels" . }}
{{- end -}}

{{/* Labels of pods: without the chart's version, which would restart the pods, and erase the bundled Redis, with each upgrade. */}}
{{- define "tradecast.podLabels" -}}
{{ include "tradecast.selectorLabels" . }}
app.kubernetes.io/part-of: tradecast
{{- include "tradecast.ownLabels" . }}
{{- end -}}

{{- define "tradecast.ownLabels" -}}
{{- $labels := dict -}}
{{- range $given := list .root.Values.commonLabels .more -}}
{{- range $name, $value := $given -}}{{- $_ := set $labels $name $value -}}{{- end -}}
{{- end -}}
{{- with $labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tradecast.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tradecast.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Takes an image's values, the tag to use if none is set, and the root for a parent chart's registry. */}}
{{- define "tradecast.imageReference" -}}
{{- $name := .image.repository -}}
{{- with get (.root.Values.global | default dict) "imageRegistry" | default .image.registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tradecast.image" -}}
{{- include "tradecast.imageReference" (dict "root" . "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{/*
How a rollout replaces servers. All new servers start at once: otherwise clients would move from one old server to another. The values of a
release of an older chart have none of this.
*/}}
{{- define "tradecast.rollout" -}}
{{- $server := .Values.server -}}
{{- $default := dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" "100%" "maxUnavailable" 0) -}}
{{- $strategy := $server.strategy | default $default -}}
{{- $type := $strategy.type | default "RollingUpdate" -}}
strategy:
  type: {{ $type }}
  {{- if eq $type "RollingUpdate" }}
  {{- with $strategy.rollingUpdate }}
  rollingUpdate:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- if not (include "tradecast.judgesRollouts" .) }}
{{- with $server.minReadySeconds }}
minReadySeconds: {{ int . }}
{{- end }}
{{- with include "tradecast.progressDeadline" . }}
progressDeadlineSeconds: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Whether the operator writes the Deployment's minReadySeconds and progressDeadlineSeconds: it raises both to hold a rollout. If they were in the
manifest, `helm rollback` would be refused then, by server-side apply as a conflict, otherwise if only one of them is there, since one must be
above the other.
*/}}
{{- define "tradecast.judgesRollouts" -}}
{{- $trial := dig "rollout" "trial" dict .Values.operator.fleet | default dict -}}
{{- if and .Values.operator.enabled (not .Values.operator.fleet.dryRun) (dig "enabled" true $trial) (ne (int (dig "seconds" 60 $trial)) 0) -}}true{{- end -}}
{{- end -}}

{{- define "tradecast.progressDeadline" -}}
{{- if .Values.server.progressDeadlineSeconds -}}
{{- int .Values.server.progressDeadlineSeconds -}}
{{- else if .Values.server.minReadySeconds -}}
{{- add .Values.server.minReadySeconds 600 -}}
{{- end -}}
{{- end -}}

{{/* spec.rollout of the SocketFleet: the servers' minReadySeconds and progressDeadlineSeconds, which the operator writes, and the rest. */}}
{{- define "tradecast.fleetRollout" -}}
{{- $own := dict -}}
{{- with .Values.server.minReadySeconds }}{{ $_ := set $own "trial" (dict "seconds" (int .)) }}{{ end -}}
{{- with include "tradecast.progressDeadline" . }}{{ $_ := set $own "progressDeadlineSeconds" (int .) }}{{ end -}}
{{- mergeOverwrite $own (deepCopy (.Values.operator.fleet.rollout | default dict)) | toYaml -}}
{{- end -}}

{{/*
The IP families of a Service. Takes (dict "root" $ "name" NAME). Kubernetes cannot change the first family of a Service that is there.
*/}}
{{- define "tradecast.ipFamilies" -}}
{{- $service := .root.Values.service -}}
{{- $name := .name -}}
{{- $live := lookup "v1" "Service" .root.Release.Namespace $name | default dict -}}
{{- with $service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- if $service.ipFamilies }}
{{- $now := dig "spec" "ipFamilies" list $live }}
{{- if or (not $now) (eq (first $service.ipFamilies) (first $now)) }}
ipFamilies: {{ toJson $service.ipFamilies }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The name of an object in a namespace of its own, where releases of other namespaces may have one, too. Takes root and namespace. */}}
{{- define "tradecast.nameIn" -}}
{{- $name := .name | default (include "tradecast.fullname" .root) -}}
{{- if and .namespace (ne .namespace .root.Release.Namespace) -}}
{{- printf "%s-%s" .root.Release.Namespace $name -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "tradecast.usesRedis" -}}
{{- if or .Values.redis.bundled.enabled .Values.redis.existingSecret -}}true{{- end -}}
{{- end -}}

{{- define "tradecast.offersPolling" -}}
{{- if or (not .Values.server.transports) (contains "polling" .Values.server.transports) -}}true{{- end -}}
{{- end -}}

{{/* Whether proxies bring a client back to the same server: only where polling was asked for. Most clients upgrade at once, and a
client that is sent to another server, so that all have as many, would come back by its cookie. */}}
{{- define "tradecast.sticks" -}}
{{- if contains "polling" .Values.server.transports -}}true{{- end -}}
{{- end -}}

{{/* Whether servers forward requests to each other: the settings' rule (Settings.forwards). */}}
{{- define "tradecast.forwards" -}}
{{- if and (include "tradecast.usesRedis" .) (include "tradecast.offersPolling" .) -}}true{{- end -}}
{{- end -}}

{{/* Where Redis, MongoDB and the tokens are: the same for servers, the feed and the test. */}}
{{- define "tradecast.dependencyEnv" -}}
{{- with .Values.redis.existingSecret }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ . | quote }}, key: REDIS_URL}
{{- $secret := . }}
{{- range list "REDIS_USERNAME" "REDIS_PASSWORD" "REDIS_SENTINEL_USERNAME" "REDIS_SENTINEL_PASSWORD" }}
- name: {{ . | quote }}
  valueFrom:
    secretKeyRef: {name: {{ $secret | quote }}, key: {{ . }}, optional: true}
{{- end }}
{{- end }}
{{- with .Values.redis.clusterSecret }}
- name: REDIS_CLUSTER_URL
  valueFrom:
    secretKeyRef: {name: {{ . | quote }}, key: REDIS_CLUSTER_URL}
{{- end }}
{{- if .Values.redis.bundled.enabled }}
- name: REDIS_URL
  value: redis://{{ include "tradecast.fullname" . }}-redis:6379/0
{{- end }}
{{- if .Values.redis.tlsSecret }}
- name: REDIS_CA_FILE
  value: /etc/tradecast/redis/ca.crt
{{- if .Values.redis.tlsClientCertificate }}
- name: REDIS_CERT_FILE
  value: /etc/tradecast/redis/tls.crt
- name: REDIS_KEY_FILE
  value: /etc/tradecast/redis/tls.key
{{- end }}
{{- end }}
{{- with .Values.mongodb.existingSecret }}
- name: MONGODB_URI
  valueFrom:
    secretKeyRef: {name: {{ . | quote }}, key: MONGODB_URI}
{{- end }}
{{- if .Values.mongodb.tlsSecret }}
- name: MONGODB_CA_FILE
  value: /etc/tradecast/mongodb/ca.crt
{{- end }}
{{- with .Values.sessions.existingSecret }}
- name: SESSION_SECRETS
  valueFrom:
    secretKeyRef: {name: {{ . | quote }}, key: SESSION_SECRETS}
{{- end }}
{{- end -}}

{{- define "tradecast.dependencyVolumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.redis.tlsSecret }}
- name: redis-tls
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- with .Values.mongodb.tlsSecret }}
- name: mongodb-tls
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{- define "tradecast.dependencyMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.redis.tlsSecret }}
- name: redis-tls
  mountPath: /etc/tradecast/redis
  readOnly: true
{{- end }}
{{- if .Values.mongodb.tlsSecret }}
- name: mongodb-tls
  mountPath: /etc/tradecast/mongodb
  readOnly: true
{{- end }}
{{- end -}}

{{/* Whether an annotation may make the Ingress controller change paths. Those of a controller that the chart does not know may, unless they are others' that never do. */}}
{{- define "tradecast.rewrites" -}}
{{- range $name, $_ := .Values.ingress.annotations -}}
{{- $changes := regexMatch "(?i)rewrite|strip|path|middleware|snippet|transform|plugin" $name -}}
{{- if eq $.Values.ingress.controller "none" -}}
{{- $changes = not (regexMatch "(^|\\.)(cert-manager\\.io|external-dns\\.[^/]*|kubernetes\\.io/(ingress\\.class|tls-acme)|argoproj\\.io|helm\\.sh)" (regexReplaceAll "^kubernetes" $name ".kubernetes")) -}}
{{- end -}}
{{- if $changes -}}true{{- end -}}
{{- end -}}
{{- end -}}
