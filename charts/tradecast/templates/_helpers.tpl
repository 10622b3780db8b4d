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

{{- define "tradecast.labels" -}}
{{ include "tradecast.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tradecast
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: without the chart's version, which would restart the pods, and erase the bundled Redis, with each upgrade. */}}
{{- define "tradecast.podLabels" -}}
{{ include "tradecast.selectorLabels" . }}
app.kubernetes.io/part-of: tradecast
{{- with .root.Values.commonLabels }}
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

{{/* Takes an image's values, and the tag to use if none is set. */}}
{{- define "tradecast.imageReference" -}}
{{- $name := .image.repository -}}
{{- if .image.registry -}}{{- $name = printf "%s/%s" .image.registry .image.repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tradecast.image" -}}
{{- include "tradecast.imageReference" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
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

{{/* Pod security "restricted". */}}
{{- define "tradecast.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tradecast.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where Redis, MongoDB and the tokens are: the same for servers, the feed and the test. */}}
{{- define "tradecast.dependencyEnv" -}}
{{- with .Values.redis.existingSecret }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: REDIS_URL}
{{- $secret := . }}
{{- range list "REDIS_USERNAME" "REDIS_PASSWORD" "REDIS_SENTINEL_USERNAME" "REDIS_SENTINEL_PASSWORD" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: {{ . }}, optional: true}
{{- end }}
{{- end }}
{{- with .Values.redis.clusterSecret }}
- name: REDIS_CLUSTER_URL
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: REDIS_CLUSTER_URL}
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
    secretKeyRef: {name: {{ . }}, key: MONGODB_URI}
{{- end }}
{{- if .Values.mongodb.tlsSecret }}
- name: MONGODB_CA_FILE
  value: /etc/tradecast/mongodb/ca.crt
{{- end }}
{{- with .Values.sessions.existingSecret }}
- name: SESSION_SECRETS
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: SESSION_SECRETS}
{{- end }}
{{- end -}}

{{- define "tradecast.dependencyVolumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.redis.tlsSecret }}
- name: redis-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.mongodb.tlsSecret }}
- name: mongodb-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
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
